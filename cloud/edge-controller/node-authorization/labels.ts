import { edgeNodeLabel } from "#shared/kube";

/** What a kubelet may say of its node, beside the labels of its own namespaces. */
const kubeletLabels = new Set([
  "kubernetes.io/hostname",
  "kubernetes.io/arch",
  "kubernetes.io/os",
  "beta.kubernetes.io/arch",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/instance-type",
  "node.kubernetes.io/instance-type",
  "failure-domain.beta.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.kubernetes.io/region",
  "failure-domain.kubernetes.io/zone",
  "topology.kubernetes.io/region",
  "topology.kubernetes.io/zone",
  // What KubeEdge's nodes register with.
  edgeNodeLabel,
  "node-role.kubernetes.io/agent",
]);
const kubeletNamespaces = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/**
 * Whether a node may set or remove this label on itself, by the rules of NodeRestriction: what is of Kubernetes decides
 * where workloads may run, and is apart from a few labels not for nodes; all others are free.
 */
export function isNodeLabel(label: string): boolean {
  const slash = label.indexOf("/");
  const namespace = slash < 0 ? "" : label.slice(0, slash);
  const isOf = (domain: string): boolean => namespace === domain || namespace.endsWith(`.${domain}`);
  if (isOf("node-restriction.kubernetes.io")) return false;
  if (!isOf("kubernetes.io") && !isOf("k8s.io")) return true;
  return kubeletLabels.has(label) || kubeletNamespaces.some(isOf);
}

export interface JudgedLabels {
  /** What the node may have as it asks. */
  readonly allowed: Readonly<Record<string, string>>;
  /** Labels it wants changed and may not change, sorted. */
  readonly refused: readonly string[];
}

/** Sorts the labels a node asks for; those that are as they were are no question. */
export function judgeLabels(
  asked: Readonly<Record<string, unknown>>,
  current: Readonly<Record<string, string>> = {},
): JudgedLabels {
  const changed = Object.entries(asked).filter(([label, value]) => current[label] !== value);
  const isFine = ([label, value]: readonly [string, unknown]): boolean =>
    isNodeLabel(label) && typeof value === "string";
  return {
    allowed: Object.fromEntries(changed.filter(isFine)) as Record<string, string>,
    refused: changed
      .filter((one) => !isFine(one))
      .map(([label]) => label)
      .toSorted(),
  };
}
