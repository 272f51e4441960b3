import type { Job, JobSpec } from "#cloud/controllers/framework";
import type { Pod } from "#shared/kube";
import { delayMs, finishedMs } from "./backoff.ts";
import { matchFailurePolicy } from "./failure-policy.ts";
import { eachIndex, parseIndexes, uniteIndexes, type Indexes } from "./indexes.ts";
import { hasFailed, indexOf, type JobPods } from "./job-pods.ts";
import type { JobWorld, NewPod, PodPlan } from "./world.ts";

/** How often the pods of an index have failed before this one; the second are failures that do not count. */
const failuresKey = "batch.kubernetes.io/job-index-failure-count";
const ignoredKey = "batch.kubernetes.io/job-index-ignored-failure-count";

/** Whether each index of the Job has a limit of its own (backoffLimitPerIndex; KEP-3850). */
export function limitsIndexes({ backoffLimitPerIndex }: JobSpec): boolean {
  return backoffLimitPerIndex !== undefined;
}

interface Failures {
  readonly counted: number;
  readonly ignored: number;
}

function earlierFailures({ metadata }: Pod): Failures {
  const countOf = (key: string): number => Number.parseInt(metadata.annotations?.[key] ?? "", 10) || 0;
  return { counted: countOf(failuresKey), ignored: countOf(ignoredKey) };
}

/** The failures of an index including that of this pod. */
function failuresWith(pod: Pod, spec: JobSpec): Failures {
  const { counted, ignored } = earlierFailures(pod);
  return matchFailurePolicy(spec, pod)?.action === "Ignore"
    ? { counted, ignored: ignored + 1 }
    : { counted: counted + 1, ignored };
}

/** The annotations of the pod that follows one that has failed, or of the first one of an index. */
export function failureAnnotations(replaced: Pod | undefined, spec: JobSpec): Record<string, string> {
  const { counted, ignored } = replaced ? failuresWith(replaced, spec) : { counted: 0, ignored: 0 };
  return { [failuresKey]: `${counted}`, ...(ignored > 0 && { [ignoredKey]: `${ignored}` }) };
}

/** Indexes that have failed for good: by a rule of the failure policy, or as often as the limit allows and once more. */
export function failedIndexesOf({ spec, status }: Job, { tracked }: JobPods): Indexes {
  const { completions = 0, backoffLimitPerIndex } = spec;
  if (backoffLimitPerIndex === undefined) return [];
  const failed = tracked.filter((pod) => {
    const isOver = failuresWith(pod, spec).counted > backoffLimitPerIndex;
    return hasFailed(pod, spec) && (isOver || matchFailurePolicy(spec, pod)?.action === "FailIndex");
  });
  const indexes = failed.map((pod) => indexOf(pod, spec)).filter((index) => index !== undefined);
  return uniteIndexes(parseIndexes(status?.failedIndexes ?? "", completions), indexes);
}

/** The last failed pod of each index that goes on. It is kept until its successor, which counts on from it, is there. */
export function heldPods({ spec }: Job, pods: JobPods, failedIndexes: Indexes): Map<number, Pod> {
  if (!limitsIndexes(spec)) return new Map();
  const over = new Set(eachIndex(failedIndexes));
  const last = lastByIndex(
    spec,
    pods.tracked.filter((pod) => hasFailed(pod, spec) && !over.has(indexOf(pod, spec) ?? -1)),
  );
  const successors = lastByIndex(
    spec,
    pods.all.filter((pod) => !hasFailed(pod, spec)),
  );
  for (const index of successors.keys()) last.delete(index);
  return last;
}

/** The pod of each index with the most failures before it. */
function lastByIndex(spec: JobSpec, pods: readonly Pod[]): Map<number, Pod> {
  const last = new Map<number, Pod>();
  for (const pod of pods) {
    const index = indexOf(pod, spec);
    const other = index === undefined ? undefined : last.get(index);
    if (index === undefined || (other && total(earlierFailures(pod)) <= total(earlierFailures(other))))
      continue;
    last.set(index, pod);
  }
  return last;
}

function total({ counted, ignored }: Failures): number {
  return counted + ignored;
}

/** Each index waits for itself. @param pending indexes that lack a pod */
export function planIndexes(
  world: JobWorld,
  pending: readonly number[],
  count: number,
): Omit<PodPlan, "remove"> {
  const { job, pods, failedIndexes, nowMs } = world;
  const held = heldPods(job, pods, failedIndexes);
  const create: NewPod[] = [];
  const waits: number[] = [];
  for (const index of pending) {
    const replaced = held.get(index);
    const waitMs = replaced
      ? finishedMs(replaced, nowMs) + delayMs(total(failuresWith(replaced, job.spec))) - nowMs
      : 0;
    if (waitMs > 0) waits.push(waitMs);
    else if (create.length < count) create.push({ index, ...(replaced && { replaced }) });
  }
  return { create, ...(waits.length > 0 && { waitMs: Math.min(...waits) }) };
}
