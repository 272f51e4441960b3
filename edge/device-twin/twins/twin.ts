import { fitsType } from "#shared/devices";
import type { TwinRow } from "#edge/store";

/** One side of a twin: what is wanted (`expected`) or what was reported (`actual`). */
export interface TwinSide {
  readonly value: string;
  /** of the edge's clock, milliseconds; absent in rows of versions that did not keep it */
  readonly timestamp?: number | undefined;
  readonly cloud: number;
  readonly edge: number;
}

/** One property of a device. Never changed in place: an update makes a new one. */
export interface Twin {
  readonly expected?: TwinSide | undefined;
  readonly actual?: TwinSide | undefined;
  readonly optional: boolean;
  /** string, int, float, boolean; `deleted` keeps the versions of a twin that is gone */
  readonly type: string;
  /** The value the Device object last asked for, to tell its changes from those a local client made. */
  readonly desired?: string | undefined;
}

export interface WireSide {
  readonly value: string;
  readonly metadata?: { readonly timestamp: number };
}

export interface WireTwin {
  readonly expected?: WireSide;
  readonly actual?: WireSide;
  readonly optional: boolean;
  readonly metadata: { readonly type: string };
  readonly expected_version?: WireVersion;
  readonly actual_version?: WireVersion;
}

export interface WireVersion {
  readonly cloud: number;
  readonly edge: number;
}

export const deletedType = "deleted";

export function isDeleted(twin: Twin): boolean {
  return twin.type === deletedType;
}

/** A twin as topics show it: without versions. */
export function toWire(twin: Twin): WireTwin {
  return {
    ...(twin.expected ? { expected: wireSide(twin.expected) } : {}),
    ...(twin.actual ? { actual: wireSide(twin.actual) } : {}),
    optional: twin.optional,
    metadata: { type: twin.type },
  };
}

/** A twin as the cloud gets it: with the versions of the sides it has. */
export function toCloud(twin: Twin): WireTwin {
  return {
    ...toWire(twin),
    ...(twin.expected ? { expected_version: version(twin.expected) } : {}),
    ...(twin.actual ? { actual_version: version(twin.actual) } : {}),
  };
}

/** A twin that is gone with the value that was wanted is no deletion of what another node may have reported. */
export function toCloudAsWanted(twin: Twin): WireTwin {
  return isDeleted(twin) ? { optional: twin.optional, metadata: { type: "string" } } : toCloud(twin);
}

/** Whether something is wanted that was not reported. */
export function differs(twin: Twin): boolean {
  if (isDeleted(twin) || twin.expected === undefined || twin.expected.value === "") return false;
  return twin.actual === undefined || !sameValue(twin.expected.value, twin.actual.value, twin.type);
}

/** Numbers are compared by value, truths as words in whatever case, all else as text. */
function sameValue(a: string, b: string, type: string): boolean {
  if (a === b) return true;
  if (type === "boolean") return a.toLowerCase() === b.toLowerCase();
  if (!numeric.has(type) || [a, b].some((value) => value === "" || fitsType(value, "float") !== true))
    return false;
  const isWhole = [a, b].every((value) => fitsType(value, "int") === true);
  return isWhole ? toBigInt(a) === toBigInt(b) : Number(a) === Number(b);
}

/** Beyond 2^53 two whole numbers may be one as floating point. */
function toBigInt(text: string): bigint {
  return BigInt(text.startsWith("+") ? text.slice(1) : text);
}

const numeric = new Set(["int", "integer", "float"]);

/** Entries in order of name, as Go writes maps. */
export function sorted<T>(entries: Iterable<readonly [string, T]>): [string, T][] {
  return [...entries]
    .map(([name, value]): [string, T] => [name, value])
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
}

export function toRow(deviceId: string, name: string, twin: Twin): TwinRow {
  const { expected, actual } = twin;
  return {
    deviceId,
    name,
    expected: expected?.value ?? null,
    actual: actual?.value ?? null,
    expectedMeta: metaText(expected),
    actualMeta: metaText(actual),
    expectedVersion: expected ? JSON.stringify(version(expected)) : null,
    actualVersion: actual ? JSON.stringify(version(actual)) : null,
    optional: Number(twin.optional),
    type: twin.type,
    desired: twin.desired ?? null,
  };
}

export function fromRow(row: TwinRow): Twin {
  return {
    expected: readSide(row.expected, row.expectedMeta, row.expectedVersion),
    actual: readSide(row.actual, row.actualMeta, row.actualVersion),
    optional: row.optional !== 0,
    type: row.type ?? "string",
    desired: row.desired ?? undefined,
  };
}

function wireSide(side: TwinSide): WireSide {
  return {
    value: side.value,
    ...(side.timestamp === undefined ? {} : { metadata: { timestamp: side.timestamp } }),
  };
}

function version(side: TwinSide): WireVersion {
  return { cloud: side.cloud, edge: side.edge };
}

function metaText(side: TwinSide | undefined): string | null {
  return side?.timestamp === undefined ? null : `{"timestamp":${side.timestamp}}`;
}

function readSide(value: string | null, meta: string | null, versions: string | null): TwinSide | undefined {
  if (value === null) return undefined;
  return {
    value,
    timestamp: readNumber(meta, "timestamp"),
    cloud: readNumber(versions, "cloud") ?? 0,
    edge: readNumber(versions, "edge") ?? 0,
  };
}

/** A number of a flat JSON object written by us; cheaper than parsing tens of thousands of them at start. */
function readNumber(text: string | null, name: string): number | undefined {
  const at = text?.indexOf(`"${name}":`) ?? -1;
  if (text === null || at < 0) return undefined;
  const number = Number.parseInt(text.slice(at + name.length + 3).trimStart(), 10);
  return Number.isNaN(number) ? undefined : number;
}
