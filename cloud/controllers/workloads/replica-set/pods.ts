import type { Clock } from "#shared/clock";
import type { Pod } from "#shared/kube";
import type { ReplicaSet } from "#cloud/controllers/framework";

/** Pods that count: neither finished nor on their way out. */
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

/** The first to go come first: unassigned, pending, not ready, ready for less long, restarted more, created later. */
export function inOrderOfDeletion(pods: readonly Pod[]): Pod[] {
  return [...pods].sort((a, b) => {
    const left = ranks(a);
    const right = ranks(b);
    const at = left.findIndex((rank, index) => rank !== right[index]);
    return at < 0 ? 0 : (left[at] ?? 0) - (right[at] ?? 0);
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

export interface Counted {
  readonly status: Required<Omit<NonNullable<ReplicaSet["status"]>, "conditions">>;
  /** When the next ready pod has been ready long enough. */
  readonly againInMs: number | undefined;
}

/** The status a ReplicaSet should have, counted over its active pods. */
export function countPods(
  replicaSet: ReplicaSet,
  pods: readonly Pod[],
  clock: Pick<Clock, "nowMs">,
): Counted {
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
    againInMs: waits.length > 0 ? Math.min(...waits) : undefined,
  };
}
