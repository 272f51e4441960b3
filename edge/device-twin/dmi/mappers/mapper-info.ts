import type { DmiVersion } from "#shared/dmi";
import { isRecord, textOf, tryJson } from "#shared/json";

/** A mapper as it registered. */
export interface MapperInfo {
  readonly name: string;
  readonly version: string;
  readonly protocol: string;
  /** Path of its socket. */
  readonly address: string;
  readonly dmi: DmiVersion;
}

/** What a mapper is known to have: digests by key. Undefined where nothing is known. */
export interface Acknowledged {
  readonly devices: Map<string, string>;
  readonly models: Map<string, string>;
}

export function mapperRow(info: MapperInfo, { devices, models }: Acknowledged): string {
  return JSON.stringify({ ...info, devices: [...devices], models: [...models] });
}

/** What this program wrote; undefined for a row that it cannot read. */
export function readMapperRow(
  text: string,
): { readonly info: MapperInfo; readonly acknowledged: Acknowledged } | undefined {
  const row = tryJson(text);
  if (!isRecord(row)) return undefined;
  const [name, protocol, address] = [textOf(row, "name"), textOf(row, "protocol"), textOf(row, "address")];
  if (name === "" || protocol === "" || address === "") return undefined;
  const dmi = row["dmi"] === "v1alpha1" ? "v1alpha1" : "v1beta1";
  const acknowledged = { devices: readMap(row["devices"]), models: readMap(row["models"]) };
  return { info: { name, version: textOf(row, "version"), protocol, address, dmi }, acknowledged };
}

function readMap(entries: unknown): Map<string, string> {
  const list = Array.isArray(entries) ? entries : [];
  return new Map(list.flatMap((one: unknown) => (isEntry(one) ? [one] : [])));
}

function isEntry(entry: unknown): entry is readonly [string, string] {
  return Array.isArray(entry) && typeof entry[0] === "string" && typeof entry[1] === "string";
}
