import { ignoreMissing, objectAt, resources } from "#cloud/kube-client";
import { isDeleting, type ControllerDeps, type Job } from "#cloud/controllers/framework";
import { finishedBy } from "#cloud/controllers/workloads/job/rules";

/** Milliseconds until a finished Job is to be deleted, undefined when it is kept; as pkg/controller/ttlafterfinished. */
export function expiresInMs(job: Job, nowMs: number): number | undefined {
  const { ttlSecondsAfterFinished } = job.spec;
  const finished = finishedBy(job);
  if (ttlSecondsAfterFinished === undefined || !finished || isDeleting(job)) return undefined;
  return (Date.parse(finished.lastTransitionTime ?? "") || nowMs) + ttlSecondsAfterFinished * 1000 - nowMs;
}

/** Deletes an expired Job with its pods. Asks the API first: the time to live may have been changed in time. */
export async function deleteExpired({ kube, clock }: ControllerDeps, job: Job): Promise<void> {
  const fresh = await kube.find<Job>(resources.jobs, objectAt(job));
  const { uid = "" } = job.metadata;
  if (fresh?.metadata.uid !== uid || !fresh || (expiresInMs(fresh, clock.nowMs()) ?? 1) > 0) return;
  const options = { uid, propagation: "Foreground" } as const;
  // 409: another Job has the name now.
  await ignoreMissing(kube.remove(resources.jobs, objectAt(job), options), 409);
}
