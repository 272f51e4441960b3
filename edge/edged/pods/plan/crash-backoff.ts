import type { ContainerDetails } from "#edge/runtime";

export interface CrashBackoff {
  readonly delayMs: number;
}

const firstCrashMs = 10_000;
const capCrashMs = 300_000;
const healthyRunMs = 600_000;

/** The delay before the next restart of a container that ended, and the entry to keep once it is restarted. */
export function restartAtMs(entry: CrashBackoff | undefined, ended: ContainerDetails): number {
  const finished = ended.finishedAtMs ?? 0;
  return entry === undefined || ranWell(ended) ? finished : finished + entry.delayMs;
}

export function nextCrash(entry: CrashBackoff | undefined, ended: ContainerDetails): CrashBackoff {
  if (entry === undefined || ranWell(ended)) return { delayMs: firstCrashMs };
  return { delayMs: Math.min(capCrashMs, entry.delayMs * 2) };
}

/**
 * Whether something that has happened bears a time to come: the clock was ahead then and has been set back. A wait that
 * counts from there could last for years. The engine may be another machine, whose clock may differ a little.
 */
export function isFuture(pastMs: number | undefined, nowMs: number): boolean {
  return pastMs !== undefined && pastMs - nowMs > capCrashMs;
}

function ranWell(ended: ContainerDetails): boolean {
  return (ended.finishedAtMs ?? 0) - (ended.startedAtMs ?? 0) >= healthyRunMs;
}
