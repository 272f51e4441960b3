import { quote } from "#shared/errors";
import { isMirrorPod, mirrorAnnotation, mirrorFault, type OwnerReference, type Pod } from "#shared/kube";

/**
 * Why a node may not create this pod, in the words of the API server's NodeRestriction; undefined when it may. A node may
 * create only mirror pods: bound to it, owned by it if at all, and using nothing of the cluster.
 */
export function mirrorPodFault(
  node: { readonly name: string; readonly uid: string },
  pod: Pod,
): string | undefined {
  const who = `node ${quote(node.name)}`;
  if (!isMirrorPod(pod))
    return `pod does not have ${quote(mirrorAnnotation)} annotation, ${who} can only create mirror pods`;
  if (pod.spec.nodeName !== node.name) return `${who} can only create pods with spec.nodeName set to itself`;
  return ownersFault(node, pod.metadata.ownerReferences) ?? mirrorFault(pod);
}

function ownersFault(
  node: { readonly name: string; readonly uid: string },
  owners: unknown = [],
): string | undefined {
  const who = `node ${quote(node.name)}`;
  if (!Array.isArray(owners) || owners.length > 1)
    return `${who} can only create pods with a single owner reference set to itself`;
  // Each field is compared below, so whatever else is in the list is refused.
  const [owner] = owners as readonly Partial<OwnerReference>[];
  if (owner === undefined) return undefined;
  if (owner.apiVersion !== "v1" || owner.kind !== "Node" || owner.name !== node.name)
    return `${who} can only create pods with an owner reference set to itself`;
  if (owner.controller !== true)
    return `${who} can only create pods with a controller owner reference set to itself`;
  if (owner.blockOwnerDeletion === true)
    return `${who} must not set blockOwnerDeletion on an owner reference`;
  if (owner.uid === node.uid) return undefined;
  return `node ${node.name} UID mismatch: expected ${owner.uid ?? ""} got ${node.uid}`;
}
