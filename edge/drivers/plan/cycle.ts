/** Default of KubeEdge's mapper framework. */
const defaultMs = 1000;
/** Below it a device is asked without a pause. */
const shortestMs = 50;
/** A day in milliseconds. Longer ones are nanoseconds, as KubeEdge before 1.15 and many samples have them. */
const longestMs = 24 * 3600 * 1000;

/** How often a property is read, in milliseconds, from `collectCycle`. */
export function collectCycleMs(written: unknown): number {
  if (typeof written !== "number" || !Number.isFinite(written) || written <= 0) return defaultMs;
  const ms = written > longestMs ? written / 1_000_000 : written;
  return Math.min(Math.max(ms, shortestMs), longestMs);
}
