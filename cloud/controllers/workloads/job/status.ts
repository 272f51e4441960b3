import type { Job, JobStatus } from "#cloud/controllers/framework";
import {
  formatIndexes,
  isIndexed,
  setCondition,
  type ConditionUpdate,
  type JobWorld,
  type Verdict,
} from "#cloud/controllers/workloads/job/rules";
import { rfc3339 } from "#shared/clock";

/** The status a Job should have while it is not finished. @param active pods that run after this run of the controller */
export function jobStatus(world: JobWorld, verdict: Verdict | undefined, active: number): JobStatus {
  const { job, pods, tally, failedIndexes, nowMs } = world;
  const status: JobStatus = {
    ...tally.status,
    active,
    ready: pods.ready,
    terminating: pods.terminating.length,
    ...(failedIndexes.length > 0 && { failedIndexes: formatIndexes(failedIndexes) }),
  };
  if (job.spec.backoffLimitPerIndex !== undefined) status.failedIndexes ??= "";
  if (job.spec.suspend !== true) status.startTime ??= rfc3339(nowMs);
  if (verdict) setCondition(status, verdict, nowMs);
  return compact(status, job);
}

const suspended = {
  type: "Suspended",
  status: "True",
  reason: "JobSuspended",
  message: "Job suspended",
} as const;
const resumed = { type: "Suspended", status: "False", reason: "JobResumed", message: "Job resumed" } as const;

/** Sets the condition in place when the Job was suspended or resumed; its time starts again when it is resumed. */
export function followSuspension(status: JobStatus, job: Job, nowMs: number): ConditionUpdate | undefined {
  const update = job.spec.suspend === true ? suspended : resumed;
  if (!setCondition(status, update, nowMs)) return undefined;
  if (update === resumed) status.startTime = rfc3339(nowMs);
  return update;
}

/**
 * The status of a Job whose pods have all ended and been counted, undefined while one has not. Upstream waits for the pods
 * since 1.31, so that what follows a finished Job does not meet them.
 */
export function finishStatus(
  status: JobStatus,
  verdict: Verdict,
  nowMs: number,
): { readonly status: JobStatus; readonly condition: ConditionUpdate } | undefined {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const left = succeeded.length + failed.length + (status.active ?? 0) + (status.terminating ?? 0);
  if (left > 0) return undefined;
  const isComplete = verdict.type === "SuccessCriteriaMet";
  const condition = { ...verdict, type: isComplete ? "Complete" : "Failed" };
  const next = { ...status };
  setCondition(next, condition, nowMs);
  if (isComplete) next.completionTime = rfc3339(nowMs);
  return { status: next, condition };
}

/** Numbers that are 0 are left out where Kubernetes leaves them out. */
function compact(status: JobStatus, { spec }: Job): JobStatus {
  for (const field of ["active", "succeeded", "failed"] as const)
    if (status[field] === 0) delete status[field];
  if (!isIndexed(spec) || status.completedIndexes === "") delete status.completedIndexes;
  return status;
}
