const longestMs = 24 * 3600 * 1000;

/**
 * Milliseconds of `collectCycle` or `reportCycle` of a property, a day at most. More than a day is taken as nanoseconds, as KubeEdge before
 * 1.15 and many samples have it: 10 s are 10,000,000,000.
 * @returns undefined when none is given
 */
export function cycleMs(written: unknown): number | undefined {
  const given = Number(written);
  if (!Number.isFinite(given) || given <= 0) return undefined;
  return Math.min(given > longestMs ? given / 1_000_000 : given, longestMs);
}
