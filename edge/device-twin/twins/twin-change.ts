import { isDeletedTwin, liveTwin, type Twin } from "./twin.ts";
import { sorted, toWire, type WireTwin } from "./wire-twin.ts";

/** A change of one twin of a device. */
export interface TwinChange {
  readonly name: string;
  readonly before: Twin | undefined;
  readonly after: Twin;
}

/** The `twin` of a message on `twin/update/document`: each changed twin before and after, null where there is none. */
export function documentOf(
  changes: readonly TwinChange[],
): Record<string, { last: WireTwin | null; current: WireTwin | null }> {
  const entries = changes.map(({ name, before, after }) => {
    const last = before && !isDeletedTwin(before) ? toWire(before) : null;
    return [name, { last, current: isDeletedTwin(after) ? null : toWire(after) }] as const;
  });
  return Object.fromEntries(sorted(entries));
}

const unreported: Pick<Twin, "expected" | "desired" | "optional"> = { optional: true };

/** Whether a change is a new reported value and nothing else, so that the value alone tells it. */
export function isNewValueOnly({ before, after }: TwinChange): boolean {
  const { expected, desired, optional } = liveTwin(before) ?? unreported;
  const isValue = after.actual !== undefined && after.actual !== before?.actual;
  const isAsBefore = after.expected === expected && after.desired === desired && after.optional === optional;
  return isValue && isAsBefore && !isDeletedTwin(after);
}
