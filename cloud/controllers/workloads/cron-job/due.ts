import type { CronJob } from "#cloud/controllers/framework";
import type { Schedule } from "#shared/cron";

/** Missed times from which on they are reported, as the documentation of CronJobs has it. */
const manyMissed = 100;

export interface Due {
  /** The last time a Job should have been started and was not; one Job is started for all that were missed. */
  readonly atMs?: number;
  readonly isManyMissed?: boolean;
  /** The clock was set back: from this time on Jobs are started as if nothing had been. */
  readonly restartMs?: number;
}

/** When a Job is due; as mostRecentScheduleTime of pkg/controller/cronjob/utils.go. */
export function dueOf({ metadata, spec, status }: CronJob, schedule: Schedule, nowMs: number): Due {
  const lastMs = Date.parse(status?.lastScheduleTime ?? metadata.creationTimestamp ?? "") || nowMs;
  if (isSetBack(schedule, lastMs, nowMs)) return { restartMs: nowMs };
  const { startingDeadlineSeconds } = spec;
  const oldestMs = startingDeadlineSeconds === undefined ? lastMs : nowMs - startingDeadlineSeconds * 1000;
  const afterMs = Math.max(lastMs, oldestMs);
  const atMs = schedule.latest(afterMs, nowMs);
  if (atMs === undefined) return {};
  return { atMs, isManyMissed: missedAbout(schedule, afterMs, atMs) > manyMissed };
}

/**
 * Whether the clock was ahead by a scheduled time or more when the last Job was started. Upstream waits until that time has
 * come again, which may take years on a machine without a battery for its clock.
 */
function isSetBack(schedule: Schedule, lastMs: number, nowMs: number): boolean {
  return lastMs > nowMs && (schedule.next(nowMs) ?? lastMs) < lastMs;
}

/** How many times were missed, by the distance of the first two: 10,000 are not looked up one by one. */
function missedAbout(schedule: Schedule, afterMs: number, untilMs: number): number {
  const first = schedule.next(afterMs) ?? untilMs;
  const second = schedule.next(first) ?? untilMs;
  return second <= first ? 1 : (untilMs - first) / (second - first) + 1;
}

/** As getJobName: the name of the CronJob and the minutes since 1970. */
export function jobNameAt({ metadata }: CronJob, atMs: number): string {
  return `${metadata.name ?? ""}-${Math.floor(atMs / 60_000)}`;
}
