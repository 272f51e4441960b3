import { objectAt, type KubeClient, type ResourceType } from "#cloud/kube-client";
import { isEmptySelector, matchesLabelSelector, type KubeObject, type LabelSelector } from "#shared/kube";
import type { OwnedIndex } from "./owned-index.ts";
import { controlledBy, isDeleting, removeOwners } from "./owner-references.ts";

/** Whether labels satisfy a selector; an empty selector selects nothing here, as a controller must not own everything. */
export function isSelectedBy(
  selector: LabelSelector,
  labels: Readonly<Record<string, string>> = {},
): boolean {
  return !isEmptySelector(selector) && matchesLabelSelector(selector, labels);
}

export interface Claim<T extends KubeObject> {
  readonly kube: KubeClient;
  readonly ownerType: ResourceType;
  readonly owner: KubeObject & { readonly spec: { readonly selector: LabelSelector } };
  readonly type: ResourceType;
  readonly index: OwnedIndex<T>;
  /** Which orphans are worth adopting. */
  readonly adopts: (object: T) => boolean;
  /** Set on what is adopted, removed from what is released. */
  readonly finalizer?: string | undefined;
}

/**
 * The objects an owner controls, after adopting matching orphans and releasing those that no longer match, as
 * kube-controller-manager's ControllerRefManager (pkg/controller/controller_ref_manager.go).
 */
export async function claimOwned<T extends KubeObject>(claim: Claim<T>): Promise<T[]> {
  const { owner, index } = claim;
  const { selector } = owner.spec;
  const matches = (object: T): boolean => isSelectedBy(selector, object.metadata.labels);
  const owned = index.ownedBy(owner.metadata.uid ?? "");
  if (isDeleting(owner)) return owned.filter(matches);
  await Promise.all(owned.filter((object) => !matches(object)).map((object) => release(claim, object)));
  const orphans = index
    .orphansIn(owner.metadata.namespace ?? "")
    .filter((object) => matches(object) && !isDeleting(object) && claim.adopts(object));
  if (orphans.length === 0) return owned.filter(matches);
  return [...owned.filter(matches), ...(await adopt(claim, orphans))];
}

/** Asks the API for the owner first: an owner deleted meanwhile must not adopt. */
async function adopt<T extends KubeObject>(claim: Claim<T>, orphans: T[]): Promise<T[]> {
  const { kube, owner, ownerType, type, finalizer } = claim;
  const fresh = await kube.find(ownerType, objectAt(owner));
  if (fresh?.metadata.uid !== owner.metadata.uid || !fresh || isDeleting(fresh)) return [];
  return Promise.all(
    orphans.map((object) => {
      const { uid, resourceVersion, ownerReferences = [], finalizers = [] } = object.metadata;
      const owners = [...ownerReferences, controlledBy(ownerType, owner)];
      const isMissing = finalizer !== undefined && !finalizers.includes(finalizer);
      const marked = isMissing ? { finalizers: [...finalizers, finalizer] } : {};
      const metadata = { uid, resourceVersion, ownerReferences: owners, ...marked };
      return kube.patch<T>(type, objectAt(object), { metadata }, { type: "merge" });
    }),
  );
}

async function release<T extends KubeObject>(claim: Claim<T>, object: T): Promise<void> {
  const { kube, owner, type, finalizer } = claim;
  await removeOwners(kube, { type, object, finalizer }, [owner.metadata.uid ?? ""]);
}
