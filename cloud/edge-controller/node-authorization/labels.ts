import { setField } from "#shared/json";
import { edgeNodeLabel } from "#shared/kube";

/** Labels a kubelet may set on its node, besides those of its own namespaces. */
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
 * Whether a node may set or remove this label on itself, by the rules of Kubernetes' NodeRestriction admission: labels of
 * Kubernetes decide where workloads may run and are, but for a few, not for nodes to set; all others are free.
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

/** Sorts the labels a node asks for; those that do not change are left out. */
export function judgeLabels(
  asked: Readonly<Record<string, unknown>>,
  current: Readonly<Record<string, string>> = {},
): JudgedLabels {
  const allowed: Record<string, string> = {};
  const refused: string[] = [];
  for (const [label, value] of Object.entries(asked)) {
    if (current[label] === value) continue;
    if (isNodeLabel(label) && typeof value === "string") setField(allowed, label, value);
    else refused.push(label);
  }
  return { allowed, refused: refused.toSorted() };
}
