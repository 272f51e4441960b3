import { deletedType, isDeletedTwin, liveTwin, type Twin } from "./twin.ts";

export interface DesiredValue {
  readonly value: string;
  /** The cloud's version of it. */
  readonly cloud: number;
}

/**
 * The twin after its Device has the desired value `desired`; undefined: none, or none any more.
 * @returns undefined when nothing changes
 */
export function applyDesired(
  before: Twin | undefined,
  desired: DesiredValue | undefined,
  context: { readonly nowMs: number; readonly type: string | undefined },
): Twin | undefined {
  const live = liveTwin(before);
  if (!desired) return live?.desired === undefined ? undefined : withoutDesired(live);
  const { value, cloud } = desired;
  if (live && hasDesired(live, value)) return undefined;
  const expected = { value, timestamp: context.nowMs, cloud, edge: before?.expected?.edge ?? 0 };
  return { ...(live ?? { optional: true, type: context.type ?? "string" }), expected, desired: value };
}

function hasDesired({ desired, expected }: Twin, value: string): boolean {
  return desired === value && expected?.value === value;
}

/** A twin that nobody reported is deleted with its desired value. */
function withoutDesired({ actual, optional, type }: Twin): Twin {
  return { actual, optional, type: actual ? type : deletedType };
}

/**
 * The twin with the type that its model has now. A reported value keeps the type it was reported with.
 * @returns undefined when nothing changes
 */
export function retype(twin: Twin, type: string): Twin | undefined {
  return isOnlyDesired(twin) && twin.type !== type ? { ...twin, type } : undefined;
}

/** Whether a twin exists only because a Device has a desired value. */
export function isOnlyDesired(twin: Twin): boolean {
  return !isDeletedTwin(twin) && twin.desired !== undefined && twin.actual === undefined;
}
