import { isDeleting, type JobSpec } from "#cloud/controllers/framework";
import { isFinished, isPodReady } from "#cloud/controllers/workloads/pods";
import type { Pod } from "#shared/kube";

/** Keeps a pod until it is counted, so that none is counted twice or lost; KEP-2307. */
export const trackingFinalizer = "batch.kubernetes.io/job-tracking";
/** Annotation and label with the completion index of a pod. */
export const indexKey = "batch.kubernetes.io/job-completion-index";

export function isTracked({ metadata }: Pod): boolean {
  return metadata.finalizers?.includes(trackingFinalizer) === true;
}

export function isIndexed({ completionMode }: JobSpec): boolean {
  return completionMode === "Indexed";
}

/** The completion index of a pod; undefined when it has none below the number of completions. */
export function indexOf({ metadata }: Pod, { completions = 0 }: JobSpec): number | undefined {
  const text = metadata.annotations?.[indexKey] ?? "";
  const index = /^\d+$/.test(text) ? Number(text) : completions;
  return index < completions ? index : undefined;
}

/** Whether a pod is replaced only once it has failed, not already while it ends. */
export function replacesFailedOnly({ podReplacementPolicy, podFailurePolicy }: JobSpec): boolean {
  return podReplacementPolicy === undefined
    ? podFailurePolicy !== undefined
    : podReplacementPolicy === "Failed";
}

/**
 * What counts as failed: also a pod that is being deleted, as it may never get to report how it ended. Where pods are
 * replaced only once they have failed, that is known when no node has it, or its node, or somebody by force, ended it; as
 * isPodFailed of job_controller.go.
 */
export function hasFailed(pod: Pod, spec: JobSpec): boolean {
  const { phase } = pod.status ?? {};
  if (phase === "Failed" || phase === "Succeeded") return phase === "Failed";
  if (!isDeleting(pod)) return false;
  return !replacesFailedOnly(spec) || !pod.spec.nodeName || pod.metadata.deletionGracePeriodSeconds === 0;
}

/** The pods of a Job by what they do. */
export interface JobPods {
  readonly all: readonly Pod[];
  /** Neither finished nor being deleted. */
  readonly active: readonly Pod[];
  readonly ready: number;
  /** Being deleted, and not finished. */
  readonly terminating: readonly Pod[];
  /** Those with the finalizer: not counted for good. */
  readonly tracked: readonly Pod[];
}

export function sortPods(all: readonly Pod[]): JobPods {
  const unfinished = all.filter((pod) => !isFinished(pod));
  const active = unfinished.filter((pod) => !isDeleting(pod));
  return {
    all,
    active,
    ready: active.filter(isPodReady).length,
    terminating: unfinished.filter(isDeleting),
    tracked: all.filter(isTracked),
  };
}
