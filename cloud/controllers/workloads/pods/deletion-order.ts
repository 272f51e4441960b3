import type { Pod } from "#shared/kube";
import { readySinceMs } from "./pod-state.ts";

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
