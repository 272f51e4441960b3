import { resources, type KubeClient } from "#cloud/kube-client";
import type { CronJob, CronJobStatus, Job } from "#cloud/controllers/framework";
import { finishedBy } from "#cloud/controllers/workloads/job";
import type { ObjectReference } from "#shared/kube";

/** Set by `kubectl create job --from=cronjob/NAME`. */
const manualKey = "cronjob.kubernetes.io/instantiate";

/** What has become of the Jobs of a CronJob: its status, and notes for Events. */
export interface ActiveJobs {
  readonly status: CronJobStatus;
  readonly notes: readonly ActiveNote[];
}

export interface ActiveNote {
  readonly type: "Normal" | "Warning";
  readonly reason: "SawCompletedJob" | "UnexpectedJob" | "MissingJob";
  readonly message: string;
}

/** Takes finished and missing Jobs from the list, as syncCronJob of cronjob_controllerv2.go. */
export async function followActive(
  kube: KubeClient,
  cronJob: CronJob,
  jobs: readonly Job[],
): Promise<ActiveJobs> {
  const { active: listed = [], ...rest } = cronJob.status ?? {};
  const notes: ActiveNote[] = unlisted(listed, jobs).map(unexpected);
  const active: ObjectReference[] = [];
  for (const reference of listed) {
    const local = jobs.find(({ metadata }) => metadata.uid === reference.uid);
    const job = local ?? (await findJob(kube, reference));
    const finish = job && finishedBy(job);
    if (finish) notes.push(saw(reference, finish.type));
    else if (job) active.push(reference);
    else notes.push(missing(reference));
  }
  const lastSuccessfulTime = latestSuccess(rest.lastSuccessfulTime, jobs);
  const times = lastSuccessfulTime === undefined ? {} : { lastSuccessfulTime };
  return { status: { ...rest, ...(active.length > 0 && { active }), ...times }, notes };
}

/** Jobs that run and are not in the list, other than those that somebody has started by hand. */
function unlisted(listed: readonly ObjectReference[], jobs: readonly Job[]): Job[] {
  const known = new Set(listed.map(({ uid }) => uid));
  return jobs.filter((job) => !finishedBy(job) && !known.has(job.metadata.uid ?? "") && !isManual(job));
}

/** The local copy may not have a Job yet that was started a moment ago. */
async function findJob(
  kube: KubeClient,
  { name = "", namespace = "", uid }: ObjectReference,
): Promise<Job | undefined> {
  const found = await kube.find<Job>(resources.jobs, { name, namespace });
  return found?.metadata.uid === uid ? found : undefined;
}

function latestSuccess(before: string | undefined, jobs: readonly Job[]): string | undefined {
  const times = jobs
    .filter((job) => finishedBy(job)?.type === "Complete")
    .map(({ status }) => status?.completionTime);
  // RFC 3339 in UTC with seconds: their order is that of the texts.
  return [before, ...times]
    .filter((time) => time !== undefined)
    .toSorted()
    .at(-1);
}

function isManual({ metadata }: Job): boolean {
  return metadata.annotations?.[manualKey] === "manual";
}

function saw({ name = "" }: ObjectReference, condition: string): ActiveNote {
  return {
    type: "Normal",
    reason: "SawCompletedJob",
    message: `Saw completed job: ${name}, condition: ${condition}`,
  };
}

function missing({ name = "" }: ObjectReference): ActiveNote {
  return { type: "Normal", reason: "MissingJob", message: `Active job went missing: ${name}` };
}

function unexpected({ metadata }: Job): ActiveNote {
  const message = `Saw a job that the controller did not create or forgot: ${metadata.name ?? ""}`;
  return { type: "Warning", reason: "UnexpectedJob", message };
}
