import { asRecord, recordOf } from "#shared/json";
import { edgeNodeLabel, type KubeObject, type Node, type OwnerReference } from "#shared/kube";

const KiB = 1024;

/** The most bytes of JSON a node may write, several times what nodes really write. */
export const largest = {
  event: 16 * KiB,
  lease: 4 * KiB,
  mirrorPod: 128 * KiB,
  /** one message about a Node, and the Node that comes of all of them */
  nodeReport: 256 * KiB,
  node: 512 * KiB,
  /** one message about a pod's status, and the status that comes of all of them */
  podReport: 128 * KiB,
  podStatus: 256 * KiB,
  /** one message of desired values, of which a node keeps 64 KiB for a Device */
  desiredValues: 256 * KiB,
} as const;

/** As many pods as a kubelet runs by default (maxPods). */
export const mostMirrorPods = 110;

/** Whether a Node belongs to a kubelet of a cluster: an edge certificate of its name gives no right to it. */
export function isForeignNode(node: Node): boolean {
  if (node.metadata.labels?.[edgeNodeLabel] !== undefined) return false;
  const version = node.status?.nodeInfo?.["kubeletVersion"] ?? "";
  return version !== "" && !version.includes("kubeedge");
}

const leaseFields = [
  "holderIdentity",
  "leaseDurationSeconds",
  "acquireTime",
  "renewTime",
  "leaseTransitions",
];

/** The lease of a node as it may be stored: without finalizers, and owned by nothing but its Node. */
export function leaseOf(node: string, namespace: string, sent: KubeObject): KubeObject {
  const { labels, annotations, resourceVersion, ownerReferences } = sent.metadata;
  const spec = recordOf(sent["spec"]);
  const owners = Array.isArray(ownerReferences) ? ownerReferences.filter((owner) => isOwn(node, owner)) : [];
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: {
      name: node,
      namespace,
      ...(labels && { labels }),
      ...(annotations && { annotations }),
      ...(resourceVersion !== undefined && { resourceVersion }),
      ...(owners.length > 0 && { ownerReferences: owners }),
    },
    spec: pick(spec, leaseFields),
  };
}

function isOwn(node: string, owner: Partial<OwnerReference> | null): boolean {
  const { apiVersion, kind, name, blockOwnerDeletion } = owner ?? {};
  return apiVersion === "v1" && kind === "Node" && name === node && blockOwnerDeletion !== true;
}

const nodeSpecFields = ["taints", "unschedulable", "providerID", "podCIDR", "podCIDRs"];

/** The fields of a spec that a node may set when it registers; later it may not change its own taints. */
export function specToRegister(spec: unknown): object {
  const fields = asRecord(spec);
  return fields ? { spec: pick(fields, nodeSpecFields) } : {};
}

function pick(object: Readonly<Record<string, unknown>>, fields: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(fields.flatMap((field) => (field in object ? [[field, object[field]]] : [])));
}
