import { isRecord } from "#shared/json";
import type { JsonBody } from "#shared/topics";

/** The expected or the actual value in a request. */
export interface TwinSideRequest {
  readonly value: string;
}

export interface TwinVersionRequest {
  readonly cloud: number;
  readonly edge: number;
}

/** One entry of `twin` in a request; null in its place deletes the twin. */
export interface TwinRequest {
  readonly expected?: TwinSideRequest | undefined;
  readonly actual?: TwinSideRequest | undefined;
  readonly optional?: boolean | undefined;
  readonly type?: string | undefined;
  readonly expectedVersion?: TwinVersionRequest | undefined;
  readonly actualVersion?: TwinVersionRequest | undefined;
}

export type TwinRequests = readonly (readonly [string, TwinRequest | null])[];

/** The `twin` of a request. @returns undefined when it is not an object of twins */
export function readTwins(value: unknown): TwinRequests | undefined {
  if (!isRecord(value)) return undefined;
  const twins: [string, TwinRequest | null][] = [];
  for (const [name, entry] of Object.entries(value)) {
    const twin = entry === null ? null : readTwinRequest(entry);
    if (twin === undefined) return undefined;
    twins.push([name, twin]);
  }
  return twins;
}

/** @returns undefined when the entry has fields of a wrong type */
export function readTwinRequest(entry: unknown): TwinRequest | undefined {
  if (!isRecord(entry)) return undefined;
  const expected = readTwinSide(entry["expected"]);
  const actual = readTwinSide(entry["actual"]);
  if (expected === false || actual === false) return undefined;
  const kind = readKind(entry);
  return (
    kind && {
      ...kind,
      expected,
      actual,
      expectedVersion: readVersion(entry["expected_version"]),
      actualVersion: readVersion(entry["actual_version"]),
    }
  );
}

function readKind(entry: JsonBody): Pick<TwinRequest, "optional" | "type"> | undefined {
  const optional = entry["optional"] ?? undefined;
  const metadata = entry["metadata"] ?? {};
  if (!isRecord(metadata) || (optional !== undefined && typeof optional !== "boolean")) return undefined;
  const type = metadata["type"] ?? "";
  return typeof type === "string" ? { optional, type: type === "" ? undefined : type } : undefined;
}

/** @returns undefined for a side without a value, false for one of a wrong type */
export function readTwinSide(value: unknown): TwinSideRequest | undefined | false {
  if (value === undefined || value === null) return undefined;
  if (!isRecord(value)) return false;
  const inner = value["value"] ?? undefined;
  if (inner === undefined) return undefined;
  return typeof inner === "string" ? { value: inner } : false;
}

function readVersion(value: unknown): TwinVersionRequest | undefined {
  if (!isRecord(value)) return undefined;
  const { cloud = 0, edge = 0 } = value;
  return typeof cloud === "number" && typeof edge === "number" ? { cloud, edge } : undefined;
}
