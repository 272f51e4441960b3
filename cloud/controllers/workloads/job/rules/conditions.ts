import type { Job, JobStatus } from "#cloud/controllers/framework";
import { rfc3339 } from "#shared/clock";
import type { Condition } from "#shared/kube";

export type ConditionUpdate = Required<Pick<Condition, "type" | "status" | "reason" | "message">>;

/** The condition by which a Job has come to its end. */
export function finishedBy({ status }: Pick<Job, "status">): Condition | undefined {
  return status?.conditions?.find(
    ({ type, status: value }) => (type === "Complete" || type === "Failed") && value === "True",
  );
}

/** Sets a condition; returns whether it changed. One that is not there is not set to False, as that says nothing. */
export function setCondition(status: JobStatus, update: ConditionUpdate, nowMs: number): boolean {
  const conditions = status.conditions ?? [];
  const old = conditions.find(({ type }) => type === update.type);
  if (!old && update.status === "False") return false;
  if (old?.status === update.status && old.reason === update.reason && old.message === update.message)
    return false;
  const now = rfc3339(nowMs);
  const next: Condition = { ...update, lastProbeTime: now, lastTransitionTime: now };
  status.conditions = old ? conditions.map((one) => (one === old ? next : one)) : [...conditions, next];
  return true;
}
