import type { Clock } from "#shared/clock";
import type { Pod } from "#shared/kube";
import type { ReplicaSet } from "#cloud/controllers/framework";

/** Pods that count as replicas: neither finished nor being deleted. */
export function isActive(pod: Pod): boolean {
  const phase = pod.status?.phase;
  return phase !== "Succeeded" && phase !== "Failed" && pod.metadata.deletionTimestamp === undefined;
}

/** When the pod became ready, undefined while it is not. */
function readySinceMs(pod: Pod): number | undefined {
  const condition = pod.status?.conditions?.find(({ type }) => type === "Ready");
  if (condition?.status !== "True") return undefined;
  return Date.parse(condition.lastTransitionTime ?? "") || 0;
}

/**
 * The pods in the order in which they are deleted: unassigned, pending, not ready, ready for less long, restarted more
 * often, created later; as ActivePodsWithRanks of controller_utils.go.
 */
export function deletionOrder(pods: readonly Pod[]): Pod[] {
  return [...pods].sort((a, b) => {
    const left = ranks(a);
    const right = ranks(b);
    const first = left.findIndex((rank, index) => rank !== right[index]);
    return first < 0 ? 0 : (left[first] ?? 0) - (right[first] ?? 0);
  });
}

const phaseRanks: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

function ranks(pod: Pod): number[] {
  const since = readySinceMs(pod);
  const restarts = pod.status?.containerStatuses?.map(({ restartCount }) => restartCount) ?? [];
  return [
    pod.spec.nodeName ? 1 : 0,
    phaseRanks[pod.status?.phase ?? "Pending"] ?? 0,
    since === undefined ? 0 : 1,
    -(since ?? 0),
    -Math.max(0, ...restarts),
    -(Date.parse(pod.metadata.creationTimestamp ?? "") || 0),
  ];
}

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
  const minReadyMs = (replicaSet.spec.minReadySeconds ?? 0) * 1000;
  const now = clock.nowMs();
  const ready = pods.map(readySinceMs).filter((since) => since !== undefined);
  const waits = minReadyMs === 0 ? [] : ready.map((since) => since + minReadyMs - now).filter((ms) => ms > 0);
  const fullyLabeled = pods.filter((pod) =>
    labels.every(([key, value]) => pod.metadata.labels?.[key] === value),
  );
  return {
    status: {
      replicas: pods.length,
      fullyLabeledReplicas: fullyLabeled.length,
      readyReplicas: ready.length,
      availableReplicas: ready.length - waits.length,
      observedGeneration: replicaSet.metadata.generation ?? 0,
    },
    availableInMs: waits.length > 0 ? Math.min(...waits) : undefined,
  };
}
