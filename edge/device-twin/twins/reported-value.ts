import { liveTwin, nextSide, type Twin } from "./twin.ts";

/**
 * The twin after a value was read from a device that knows nothing of twins.
 * @param type of the property in its model
 */
export function applyReportedValue(
  before: Twin | undefined,
  value: string,
  type: string,
  nowMs: number,
): Twin {
  const live = liveTwin(before);
  return {
    expected: live?.expected,
    actual: nextSide(value, before?.actual, nowMs),
    optional: live?.optional ?? true,
    type,
    desired: live?.desired,
  };
}
