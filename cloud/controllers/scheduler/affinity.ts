import { hasLabels, meetsLabelExpressions, type LabelExpression, type Node, type Pod } from "#shared/kube";

interface NodeSelectorTerm {
  matchExpressions?: readonly LabelExpression[];
  matchFields?: readonly LabelExpression[];
}

interface Affinity {
  nodeAffinity?: {
    requiredDuringSchedulingIgnoredDuringExecution?: { nodeSelectorTerms?: NodeSelectorTerm[] };
  };
}

/** Whether the node has the labels the pod's nodeSelector and required node affinity ask for. */
export function matchesNodeSelection(pod: Pod, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  if (!hasLabels(labels, pod.spec.nodeSelector ?? {})) return false;
  const affinity = pod.spec["affinity"] as Affinity | undefined;
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return !required || (required.nodeSelectorTerms ?? []).some((term) => matchesTerm(term, node));
}

/** A term without requirements matches nothing. */
function matchesTerm(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length + matchFields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  const fields: Record<string, string> = { "metadata.name": node.metadata.name ?? "" };
  return meetsLabelExpressions(matchExpressions, labels) && meetsLabelExpressions(matchFields, fields);
}
