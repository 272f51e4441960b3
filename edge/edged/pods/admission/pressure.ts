import type { Pod } from "#shared/kube";
import { isCriticalPod, isTolerated, qosClass } from "#shared/scheduling";
import type { Refusal } from "./refusal.ts";

const memoryTaint = { key: "node.kubernetes.io/memory-pressure", effect: "NoSchedule" } as const;

/**
 * Why a node that runs short of something takes no such pod (`Admit` of kubelet's eviction manager): under memory pressure
 * none of the class BestEffort, under other pressures none that is not critical.
 */
export function pressureRefusal(pod: Pod, pressures: readonly string[]): Refusal | undefined {
  if (pressures.length === 0 || isCriticalPod(pod)) return undefined;
  if (pressures.every((type) => type === "MemoryPressure")) {
    if (qosClass(pod) !== "BestEffort" || isTolerated(memoryTaint, pod.spec.tolerations ?? []))
      return undefined;
  }
  return { reason: "Evicted", message: `The node had condition: [${pressures.join(" ")}]. ` };
}
