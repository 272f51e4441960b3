import { isDeleting, type Job, type JobStatus } from "#cloud/controllers/framework";
import type { Pod } from "#shared/kube";
import { matchFailurePolicy } from "./failure-policy.ts";
import { countIndexes, formatIndexes, parseIndexes, uniteIndexes, type Indexes } from "./indexes.ts";
import { hasFailed, indexOf, isIndexed, type JobPods } from "./job-pods.ts";

/** Pods that enter the status at once: it stays small, and a large Job does not keep others waiting; MaxUncountedPods. */
const mostAtOnce = 500;

/** How the finished pods of a Job count, with those that are not in its status yet. */
export interface Tally {
  readonly succeeded: number;
  readonly failed: number;
  /** Indexes that have succeeded, of an Indexed Job. */
  readonly completed: Indexes;
  /** Pods that may lose their finalizer once the status has them. */
  readonly done: readonly Pod[];
  /** The status with what is new in it; its numbers still lack the pods of uncountedTerminatedPods. */
  readonly status: JobStatus;
}

/**
 * Counts each finished pod once: its uid is in the status before its finalizer is removed, and in the numbers once it is
 * gone; as trackJobStatusAndRemoveFinalizers of job_controller.go. @param held pods whose end does not count yet
 */
export function tallyPods(job: Job, { tracked }: JobPods, held: ReadonlySet<Pod> = new Set()): Tally {
  const trackedUids = new Set(tracked.map(uidOf));
  const status = settle(structuredClone(job.status ?? {}), trackedUids);
  const entry = new Entry(job, status);
  for (const pod of tracked) if (!held.has(pod)) entry.take(pod);
  return entry.tally();
}

/** Moves the uids of pods without a finalizer from the list to the numbers, in place. @param tracked uids of those with it */
export function settle(status: JobStatus, tracked: ReadonlySet<string>): JobStatus {
  const { uncountedTerminatedPods: uncounted = {} } = status;
  for (const field of ["succeeded", "failed"] as const) {
    const listed = uncounted[field] ?? [];
    const left = listed.filter((uid) => tracked.has(uid));
    if (left.length < listed.length) status[field] = (status[field] ?? 0) + listed.length - left.length;
    if (left.length > 0) uncounted[field] = left;
    else delete uncounted[field];
  }
  status.uncountedTerminatedPods = uncounted;
  return status;
}

class Entry {
  readonly #job: Job;
  readonly #status: JobStatus;
  readonly #succeeded: string[];
  readonly #failed: string[];
  readonly #known: ReadonlySet<string>;
  readonly #done: Pod[] = [];
  readonly #completed: Indexes;
  readonly #newIndexes = new Set<number>();
  /** Finished pods beyond the limit: they count for decisions, and enter the status later. */
  #later = { succeeded: 0, failed: 0 };

  constructor(job: Job, status: JobStatus) {
    const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
    this.#job = job;
    this.#status = status;
    this.#succeeded = [...succeeded];
    this.#failed = [...failed];
    this.#known = new Set([...succeeded, ...failed]);
    this.#completed = parseIndexes(status.completedIndexes ?? "", job.spec.completions ?? 0);
  }

  take(pod: Pod): void {
    const end = this.#endOf(pod);
    if (!end) return;
    const isFull = this.#succeeded.length + this.#failed.length + this.#newIndexes.size >= mostAtOnce;
    const isKnown = this.#known.has(uidOf(pod));
    if (!isFull || isKnown) this.#done.push(pod);
    if (isKnown || end === "uncounted") return;
    if (isIndexed(this.#job.spec)) this.#takeIndexed(pod, end);
    else if (isFull) this.#later[end] += 1;
    else (end === "succeeded" ? this.#succeeded : this.#failed).push(uidOf(pod));
  }

  /** That an index has succeeded is remembered as such, however often it did. */
  #takeIndexed(pod: Pod, end: "succeeded" | "failed"): void {
    const index = indexOf(pod, this.#job.spec);
    if (index === undefined) return;
    if (end === "succeeded") this.#newIndexes.add(index);
    else if (this.#done.at(-1) === pod) this.#failed.push(uidOf(pod));
    else this.#later.failed += 1;
  }

  #endOf(pod: Pod): "succeeded" | "failed" | "uncounted" | undefined {
    const { spec } = this.#job;
    if (pod.status?.phase === "Succeeded") return "succeeded";
    if (hasFailed(pod, spec))
      return matchFailurePolicy(spec, pod)?.action === "Ignore" ? "uncounted" : "failed";
    // The Job is going: its pods are free to go, too.
    return isDeleting(this.#job) ? "uncounted" : undefined;
  }

  tally(): Tally {
    const { spec } = this.#job;
    const completed = uniteIndexes(this.#completed, this.#newIndexes);
    const status = this.#status;
    status.uncountedTerminatedPods = {
      ...(this.#succeeded.length > 0 && { succeeded: this.#succeeded }),
      ...(this.#failed.length > 0 && { failed: this.#failed }),
    };
    const succeeded = isIndexed(spec)
      ? countIndexes(completed)
      : (status.succeeded ?? 0) + this.#succeeded.length + this.#later.succeeded;
    const failed = (status.failed ?? 0) + this.#failed.length + this.#later.failed;
    if (isIndexed(spec)) Object.assign(status, { succeeded, completedIndexes: formatIndexes(completed) });
    return { succeeded, failed, completed, done: this.#done, status };
  }
}

function uidOf({ metadata }: Pod): string {
  return metadata.uid ?? "";
}
