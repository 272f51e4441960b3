import { hasLabels, meetsLabelExpressions, type Node, type NodeSelectorTerm, type Pod } from "#shared/kube";

/** Whether the node satisfies the pod's nodeSelector and required node affinity. */
export function matchesNodeSelection(pod: Pod, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  if (!hasLabels(labels, pod.spec.nodeSelector ?? {})) return false;
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return !required || (required.nodeSelectorTerms ?? []).some((term) => matchesTerm(term, node));
}

/** A term without requirements matches no node (Kubernetes API, NodeSelectorTerm). */
function matchesTerm(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length + matchFields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  const fields: Record<string, string> = { "metadata.name": node.metadata.name ?? "" };
  return meetsLabelExpressions(matchExpressions, labels) && meetsLabelExpressions(matchFields, fields);
}
