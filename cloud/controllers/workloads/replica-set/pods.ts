import { rfc3339, type Clock } from "#shared/clock";
import type { Condition, Pod } from "#shared/kube";
import type { ReplicaSet } from "#cloud/controllers/framework";
import { availableInMs } from "#cloud/controllers/workloads/pods";

export interface PodCounts {
  readonly status: Required<Omit<NonNullable<ReplicaSet["status"]>, "conditions">>;
  /** Milliseconds until the next ready pod has been ready for minReadySeconds. */
  readonly availableInMs: number | undefined;
}

/** The status a ReplicaSet should have, counted over its active pods. */
export function countPods(
  replicaSet: ReplicaSet,
  pods: readonly Pod[],
  clock: Pick<Clock, "nowMs">,
): PodCounts {
  const labels = Object.entries(replicaSet.spec.template.metadata?.labels ?? {});
  const now = clock.nowMs();
  const waits = pods
    .map((pod) => availableInMs(pod, replicaSet.spec.minReadySeconds ?? 0, now))
    .filter((wait) => wait !== undefined);
  const pending = waits.filter((wait) => wait > 0);
  const fullyLabeled = pods.filter((pod) =>
    labels.every(([key, value]) => pod.metadata.labels?.[key] === value),
  );
  return {
    status: {
      replicas: pods.length,
      fullyLabeledReplicas: fullyLabeled.length,
      readyReplicas: waits.length,
      availableReplicas: waits.length - pending.length,
      observedGeneration: replicaSet.metadata.generation ?? 0,
    },
    availableInMs: pending.length > 0 ? Math.min(...pending) : undefined,
  };
}

const failureType = "ReplicaFailure";

/**
 * The conditions when a failure has to be added or removed, undefined when they stay; as calculateStatus of
 * replica_set_utils.go, which keeps the first message.
 */
export function withFailure(
  { spec, status }: ReplicaSet,
  podCount: number,
  { failure, nowMs }: { readonly failure: Error | undefined; readonly nowMs: number },
): Condition[] | undefined {
  const conditions = status?.conditions ?? [];
  const others = conditions.filter(({ type }) => type !== failureType);
  const isKnown = others.length < conditions.length;
  if (!failure) return isKnown ? others : undefined;
  if (isKnown) return undefined;
  const reason = podCount < (spec.replicas ?? 1) ? "FailedCreate" : "FailedDelete";
  const lastTransitionTime = rfc3339(nowMs);
  return [
    ...others,
    { type: failureType, status: "True", reason, message: failure.message, lastTransitionTime },
  ];
}
