import type { NodeLoad, PodNeeds } from "#cloud/controllers/scheduler/load";
import { isTolerated } from "#shared/scheduling";

/** The taints with effect PreferNoSchedule that a pod does not tolerate; undefined without such taints. As TaintToleration. */
export function avoidedTaints({ pod }: PodNeeds, loads: readonly NodeLoad[]): number[] | undefined {
  const { tolerations = [] } = pod.spec;
  const counts = loads.map(({ node }) => {
    let count = 0;
    for (const taint of node.spec?.taints ?? [])
      if (taint.effect === "PreferNoSchedule" && !isTolerated(taint, tolerations)) count += 1;
    return count;
  });
  return counts.some((count) => count > 0) ? counts : undefined;
}
