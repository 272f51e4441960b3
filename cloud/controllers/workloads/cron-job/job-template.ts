import { resources } from "#cloud/kube-client";
import { controlledBy, isDeleting, type CronJob, type Job } from "#cloud/controllers/framework";
import { finishedBy } from "#cloud/controllers/workloads/job";
import { rfc3339 } from "#shared/clock";
import { apiVersionOf, type ObjectReference } from "#shared/kube";
import { jobNameAt } from "./due.ts";

/** The time for which a Job was started, whenever that was. */
const scheduledKey = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/** The Job of a scheduled time. Its name follows from the time, so that it cannot be started twice. */
export function jobAt(cronJob: CronJob, atMs: number): Job {
  const { metadata = {}, spec } = cronJob.spec.jobTemplate;
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: jobNameAt(cronJob, atMs),
      namespace: cronJob.metadata.namespace ?? "",
      ...(metadata.labels && { labels: metadata.labels }),
      annotations: { ...metadata.annotations, [scheduledKey]: rfc3339(atMs) },
      ownerReferences: [controlledBy(resources.cronJobs, cronJob)],
    },
    spec,
  };
}

/** As the list of active Jobs has it. */
export function referenceTo({ metadata }: Job): ObjectReference {
  const { name = "", namespace = "", uid = "", resourceVersion = "" } = metadata;
  return { apiVersion: apiVersionOf(resources.jobs), kind: "Job", name, namespace, uid, resourceVersion };
}

/** The oldest finished Jobs beyond the limits, which are 3 and 1 by default. */
export function surplusJobs({ spec }: CronJob, jobs: readonly Job[]): Job[] {
  const { successfulJobsHistoryLimit = 3, failedJobsHistoryLimit = 1 } = spec;
  const ended = (type: string): Job[] =>
    byStart(jobs.filter((job) => finishedBy(job)?.type === type && !isDeleting(job)));
  return [
    ...ended("Complete").slice(0, -successfulJobsHistoryLimit || Infinity),
    ...ended("Failed").slice(0, -failedJobsHistoryLimit || Infinity),
  ];
}

function byStart(jobs: readonly Job[]): Job[] {
  const key = ({ metadata, status }: Job): string => `${status?.startTime ?? ""} ${metadata.name ?? ""}`;
  return jobs.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}
