import { fitsType } from "#shared/devices";

/** One side of a twin: the expected or the actual value. */
export interface TwinSide {
  readonly value: string;
  /** Milliseconds since 1970 by the clock of the node; absent in rows of versions that did not store it. */
  readonly timestamp?: number | undefined;
  /** Version of the value: how often the cloud and how often the edge has set it. */
  readonly cloud: number;
  readonly edge: number;
}

/** One property of a device; as KubeEdge's `dttype.MsgTwin`. Never changed in place: an update makes a new one. */
export interface Twin {
  readonly expected?: TwinSide | undefined;
  readonly actual?: TwinSide | undefined;
  readonly optional: boolean;
  /** string, int, float or boolean; `deleted` keeps the versions of a deleted twin. */
  readonly type: string;
  /** The desired value of the Device object, apart from `expected`, which local clients may set too. */
  readonly desired?: string | undefined;
}

export const deletedType = "deleted";

export function isDeletedTwin(twin: Twin): boolean {
  return twin.type === deletedType;
}

/** Whether the expected value was not reported yet. An empty one expects nothing. */
export function differs(twin: Twin): boolean {
  if (isDeletedTwin(twin) || twin.expected === undefined || twin.expected.value === "") return false;
  return twin.actual === undefined || !sameValue(twin.expected.value, twin.actual.value, twin.type);
}

/** Numbers are compared by value, booleans regardless of case, everything else as text. */
function sameValue(a: string, b: string, type: string): boolean {
  if (a === b) return true;
  if (type === "boolean") return a.toLowerCase() === b.toLowerCase();
  if (!numeric.has(type) || [a, b].some((value) => value === "" || fitsType(value, "float") !== true))
    return false;
  const isWhole = [a, b].every((value) => fitsType(value, "int") === true);
  return isWhole ? toBigInt(a) === toBigInt(b) : Number(a) === Number(b);
}

/** As floating point, different integers beyond 2^53 may be equal. */
function toBigInt(text: string): bigint {
  return BigInt(text.startsWith("+") ? text.slice(1) : text);
}

const numeric = new Set(["int", "integer", "float"]);

/** The twin, unless it is deleted. */
export function liveTwin(twin: Twin | undefined): Twin | undefined {
  return twin && !isDeletedTwin(twin) ? twin : undefined;
}

/**
 * A side with a new value and the next version of the edge. A twin that was deleted and made again continues its
 * versions, so that the cloud takes the new value for the newer one.
 * @param before the side that has the last version, also of a deleted twin
 */
export function nextSide(value: string, before: TwinSide | undefined, nowMs: number): TwinSide {
  return { value, timestamp: nowMs, cloud: before?.cloud ?? 0, edge: (before?.edge ?? 0) + 1 };
}
