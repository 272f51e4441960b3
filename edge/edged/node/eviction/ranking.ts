import { quantityNumber, type Pod } from "#shared/kube";
import type { ReclaimedResource } from "./thresholds.ts";

/** What a pod uses now; undefined for what could not be measured. */
export interface PodUse {
  readonly memoryBytes?: number | undefined;
  readonly diskBytes?: number | undefined;
  readonly processes?: number | undefined;
}

/**
 * Pods in the order in which they are ended (rankMemoryPressure, rankDiskPressureFunc and rankPIDPressure of kubelet): those
 * that use more than they requested, then those of lower priority, then those that exceed their request by more. One that
 * could not be measured comes first. Inodes are not counted: of pods that fill a disk with small files those with many bytes
 * go first.
 */
export function rankPods<P extends { readonly pod: Pod }>(
  pods: readonly P[],
  resource: ReclaimedResource,
  useOf: (pod: P) => PodUse,
): P[] {
  const name = resource === "memory" ? "memory" : "ephemeral-storage";
  const ranked = pods.map((one) => {
    const { memoryBytes, diskBytes, processes } = useOf(one);
    const used = resource === "pids" ? processes : resource === "memory" ? memoryBytes : diskBytes;
    const requested = resource === "pids" ? 0 : requestOf(one.pod, name);
    const over = used === undefined ? Infinity : used - requested;
    return { one, over, priority: one.pod.spec.priority ?? 0 };
  });
  const byRequest = resource !== "pids";
  ranked.sort(
    (a, b) =>
      (byRequest ? Number(b.over > 0) - Number(a.over > 0) : 0) ||
      a.priority - b.priority ||
      // Infinity minus itself is no number.
      (a.over === b.over ? 0 : b.over - a.over),
  );
  return ranked.map(({ one }) => one);
}

/** What the containers of a pod request together, bytes. */
function requestOf({ spec }: Pod, resource: string): number {
  const requests = spec.containers.map((one) => quantityNumber(one.resources?.requests?.[resource]) ?? 0);
  return requests.reduce((sum, bytes) => sum + bytes, 0);
}
