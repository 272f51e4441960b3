import type { JobSpec } from "#cloud/controllers/framework";
import { deletionOrder } from "#cloud/controllers/workloads/pods";
import type { Pod } from "#shared/kube";
import { backoffMs } from "./backoff.ts";
import { eachIndex } from "./indexes.ts";
import { hasFailed, indexOf, isIndexed, replacesFailedOnly } from "./job-pods.ts";
import { limitsIndexes, planIndexes } from "./per-index.ts";
import type { JobWorld, NewPod, PodPlan } from "./world.ts";

/** Pods created or deleted in one run; MaxPodCreateDeletePerSync of job_controller.go. */
const burst = 500;

/** What a Job that goes on lacks or has too much; either pods are deleted or created, as manageJob of job_controller.go. */
export function planPods(world: JobWorld): PodPlan {
  const { job, pods } = world;
  const { spec } = job;
  if (spec.suspend === true) return { create: [], remove: pods.active.slice(0, burst) };
  const wanted = wantedActive(world);
  const remove = surplus(spec, pods.active, pods.active.length - wanted);
  if (remove.length > 0) return { create: [], remove: remove.slice(0, burst) };
  const ending = replacesFailedOnly(spec) ? pods.terminating.length : 0;
  const count = Math.min(burst, wanted - pods.active.length - ending);
  if (count <= 0) return { create: [], remove: [] };
  if (limitsIndexes(spec))
    return { ...planIndexes(world, pendingIndexes(world, Infinity), count), remove: [] };
  const waitMs = waitOf(world);
  if (waitMs > 0) return { create: [], remove: [], waitMs };
  const create = isIndexed(spec)
    ? pendingIndexes(world, count).map((index) => ({ index }))
    : Array.from({ length: count }, (): NewPod => ({}));
  return { create, remove: [] };
}

function wantedActive({ job, pods, tally, failedIndexes }: JobWorld): number {
  const { parallelism = 1, completions } = job.spec;
  // A work queue decides by itself: once a pod has succeeded no new one is started, and the others may end.
  if (completions === undefined)
    return tally.succeeded > 0 ? Math.min(pods.active.length, parallelism) : parallelism;
  const left = completions - tally.succeeded - [...eachIndex(failedIndexes)].length;
  return Math.max(0, Math.min(parallelism, left));
}

function waitOf({ job, pods, nowMs }: JobWorld): number {
  const failed = pods.all.filter((pod) => hasFailed(pod, job.spec));
  if (failed.length === 0) return 0;
  const succeeded = pods.all.filter(({ status }) => status?.phase === "Succeeded");
  return backoffMs(succeeded, failed, nowMs);
}

/** At least `count` pods; of an Indexed Job also those without an index, and all but one of the same. */
function surplus(spec: JobSpec, active: readonly Pod[], count: number): Pod[] {
  const ordered = deletionOrder(active);
  if (!isIndexed(spec)) return ordered.slice(0, Math.max(0, count));
  const kept = new Map<number, Pod>();
  // The last of the order is the one that has come furthest.
  for (const pod of ordered) {
    const index = indexOf(pod, spec);
    if (index !== undefined) kept.set(index, pod);
  }
  const needed = new Set(kept.values());
  const doubled = ordered.filter((pod) => !needed.has(pod));
  const rest = ordered.filter((pod) => needed.has(pod));
  return [...doubled, ...rest.slice(0, Math.max(0, count - doubled.length))];
}

/** The lowest indexes that have neither succeeded nor failed nor a pod. */
function pendingIndexes({ job, pods, tally, failedIndexes }: JobWorld, count: number): number[] {
  const { spec } = job;
  const busy = replacesFailedOnly(spec) ? [...pods.active, ...pods.terminating] : pods.active;
  const taken = new Set<number | undefined>([
    ...eachIndex(tally.completed),
    ...eachIndex(failedIndexes),
    ...busy.map((pod) => indexOf(pod, spec)),
  ]);
  const found: number[] = [];
  for (let index = 0; index < (spec.completions ?? 0) && found.length < count; index += 1)
    if (!taken.has(index)) found.push(index);
  return found;
}
