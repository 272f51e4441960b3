import { quantityNumber, type Container, type Pod } from "#shared/kube";
import { qosClass } from "#shared/scheduling";

/** kubelet: guaranteedOOMScoreAdj. */
const guaranteed = -997;
const bestEffort = 1000;
/** scheduling.SystemCriticalPriority + 1000: `system-node-critical`. */
const nodeCritical = 2_000_001_000;

/**
 * How likely the kernel ends a container when memory is out, as kubelet's GetContainerOOMScoreAdjust: the less, the more of the
 * node's memory it requested. `memoryBytes`: of the node.
 */
export function oomScoreAdj(pod: Pod, container: Container, memoryBytes: number): number {
  const quality = qosClass(pod);
  if ((pod.spec.priority ?? 0) >= nodeCritical || quality === "Guaranteed") return guaranteed;
  if (quality === "BestEffort") return bestEffort;
  const { requests, limits } = container.resources ?? {};
  const requested = quantityNumber(requests?.["memory"] ?? limits?.["memory"]) ?? 0;
  const score = bestEffort - Math.floor((bestEffort * requested) / memoryBytes);
  return Math.min(Math.max(score, bestEffort + guaranteed), bestEffort - 1);
}
