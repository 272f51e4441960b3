import { objectAt, type KubeClient, type ResourceType } from "#cloud/kube-client";
import { apiVersionOf, type KubeObject, type OwnerReference } from "#shared/kube";

/** An object and the collection it is in, which the object itself does not name. */
export interface TypedObject {
  readonly type: ResourceType;
  readonly object: KubeObject;
}

export function isDeleting(object: KubeObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

/** The owner reference of the controller that manages an object; an object has at most one. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find(({ controller }) => controller === true);
}

/** The reference to the managing controller, as metav1.NewControllerRef. */
export function controlledBy(type: ResourceType, owner: KubeObject): OwnerReference {
  return {
    apiVersion: apiVersionOf(type),
    kind: type.kind,
    name: owner.metadata.name ?? "",
    uid: owner.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

/**
 * Removes the owner references with these uids from an object, and a finalizer with them.
 * @throws KubeError with httpStatus 409 when the object has changed
 */
export async function removeOwners(
  kube: KubeClient,
  { type, object, finalizer }: TypedObject & { readonly finalizer?: string | undefined },
  uids: readonly string[],
): Promise<void> {
  const { uid, resourceVersion, ownerReferences = [], finalizers = [] } = object.metadata;
  const removed = new Set(uids);
  const left = ownerReferences.filter((reference) => !removed.has(reference.uid));
  const kept = finalizers.filter((one) => one !== finalizer);
  const unmarked = kept.length < finalizers.length ? { finalizers: kept.length > 0 ? kept : null } : {};
  const metadata = { uid, resourceVersion, ownerReferences: left.length > 0 ? left : null, ...unmarked };
  await kube.patch(type, objectAt(object), { metadata }, { type: "merge" });
}
