import { isDeletedTwin, type Twin } from "./twin.ts";
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
