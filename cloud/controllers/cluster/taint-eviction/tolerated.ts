import type { Node, Pod, Taint, Toleration } from "#shared/kube";
import { isTolerated } from "#shared/scheduling";

export function noExecuteTaints(node: Node | undefined): Taint[] {
  return (node?.spec?.taints ?? []).filter(({ effect }) => effect === "NoExecute");
}

/**
 * For how many seconds a pod may stay on a node with these taints: the shortest of the tolerations that it needs, 0 when one is
 * missing, undefined for ever. As upstream's taint manager (pkg/controller/nodelifecycle/scheduler).
 */
export function toleratedSeconds(pod: Pod, taints: readonly Taint[]): number | undefined {
  const tolerations = pod.spec.tolerations ?? [];
  if (!taints.every((taint) => isTolerated(taint, tolerations))) return 0;
  const needed = tolerations.filter((one) => taints.some((taint) => isTolerated(taint, [one])));
  const limits = needed.flatMap(({ tolerationSeconds }: Toleration) => tolerationSeconds ?? []);
  return limits.length === 0 ? undefined : Math.max(0, Math.min(...limits));
}
