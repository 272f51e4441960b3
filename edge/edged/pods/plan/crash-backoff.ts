import type { ContainerDetails } from "#edge/runtime";

export interface CrashBackoff {
  /** Between the end of the container and its restart. */
  readonly delayMs: number;
}

/** kubelet: backOffPeriod and MaxContainerBackOff; a run of twice the cap ends the back-off (client-go's Backoff). */
const firstCrashMs = 10_000;
const capCrashMs = 300_000;
const healthyRunMs = 2 * capCrashMs;

/** When a container that ended may be restarted, in Unix milliseconds. */
export function restartAtMs(entry: CrashBackoff | undefined, ended: ContainerDetails): number {
  const finished = ended.finishedAtMs ?? 0;
  return entry === undefined || ranWell(ended) ? finished : finished + entry.delayMs;
}

/** The entry to keep once a container that ended is restarted. */
export function nextCrash(entry: CrashBackoff | undefined, ended: ContainerDetails): CrashBackoff {
  if (entry === undefined || ranWell(ended)) return { delayMs: firstCrashMs };
  return { delayMs: Math.min(capCrashMs, entry.delayMs * 2) };
}

/**
 * Whether something that has happened has a time in the future: the clock was ahead then and has been set back. A wait
 * counted from there could last for years. The clock of an engine on another machine may differ a little.
 */
export function isFuture(pastMs: number | undefined, nowMs: number): boolean {
  return pastMs !== undefined && pastMs - nowMs > capCrashMs;
}

function ranWell(ended: ContainerDetails): boolean {
  return (ended.finishedAtMs ?? 0) - (ended.startedAtMs ?? 0) >= healthyRunMs;
}
