import {
  hasLabels,
  meetsLabelExpressions,
  type Node,
  type NodeSelectorTerm,
  type Pod,
  type Taint,
  type Toleration,
} from "#shared/kube";

/** Whether the node satisfies the pod's nodeSelector and required node affinity. */
export function matchesNodeSelection({ spec: { nodeSelector, affinity } }: Pod, node: Node): boolean {
  if (nodeSelector && !hasLabels(node.metadata.labels ?? {}, nodeSelector)) return false;
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return !required || matchesNodeTerms(required.nodeSelectorTerms ?? [], node);
}

/** Whether the node satisfies one of the terms. */
export function matchesNodeTerms(terms: readonly NodeSelectorTerm[], node: Node): boolean {
  return terms.some((term) => matchesTerm(term, node));
}

/** The names of the only nodes that a pod allows, as those of DaemonSets do; undefined when it names none. */
export function nodesNamedBy({ spec }: Pod): ReadonlySet<string> | undefined {
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const terms = required?.nodeSelectorTerms ?? [];
  const names = terms.map(({ matchFields = [] }) =>
    matchFields.find(({ key, operator }) => key === "metadata.name" && operator === "In"),
  );
  if (terms.length === 0 || names.includes(undefined)) return undefined;
  return new Set(names.flatMap((name) => name?.values ?? []));
}

/** Whether the node is as one preference of a pod wants it; an empty one is satisfied by all. */
export function matchesPreference(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  return matchExpressions.length + matchFields.length === 0 || matchesTerm(term, node);
}

/** A term without requirements matches no node (Kubernetes API, NodeSelectorTerm). */
function matchesTerm(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length + matchFields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  const fields: Record<string, string> = { "metadata.name": node.metadata.name ?? "" };
  return meetsLabelExpressions(matchExpressions, labels) && meetsLabelExpressions(matchFields, fields);
}

export function isTolerated(taint: Taint, tolerations: readonly Toleration[]): boolean {
  return tolerations.some((toleration) => {
    if (toleration.effect && toleration.effect !== taint.effect) return false;
    if (toleration.key && toleration.key !== taint.key) return false;
    if (toleration.operator === "Exists") return true;
    return Boolean(toleration.key) && (toleration.value ?? "") === (taint.value ?? "");
  });
}

/** The first taint that keeps pods with these tolerations away; PreferNoSchedule keeps none away. */
export function findUntolerated(
  taints: readonly Taint[],
  tolerations: readonly Toleration[],
): Taint | undefined {
  return taints.find((taint) => taint.effect !== "PreferNoSchedule" && !isTolerated(taint, tolerations));
}

/** The parts of a node that decide whether pods fit; heartbeats change none of them. */
export function schedulingView(node: Node): unknown {
  const { unschedulable = false, taints = [] } = node.spec ?? {};
  const allocatable = node.status?.allocatable ?? node.status?.capacity;
  return { unschedulable, taints, allocatable, labels: node.metadata.labels ?? {} };
}
