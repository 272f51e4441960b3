import type { Informer, KubeClient, ResourceType } from "#cloud/kube-client";
import {
  isEmptySelector,
  matchesLabelSelector,
  objectKey,
  type KubeObject,
  type LabelSelector,
  type OwnerReference,
} from "#shared/kube";

/** Whether labels satisfy a selector; an empty selector selects nothing here, as controllers must not own everything. */
export function isSelectedBy(
  selector: LabelSelector,
  labels: Readonly<Record<string, string>> = {},
): boolean {
  return !isEmptySelector(selector) && matchesLabelSelector(selector, labels);
}

export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find(({ controller }) => controller === true);
}

export function isDeleting(object: KubeObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

export function controlledBy(type: ResourceType, owner: KubeObject): OwnerReference {
  return {
    apiVersion: `${type.group}/${type.version}`,
    kind: type.kind,
    name: owner.metadata.name ?? "",
    uid: owner.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function placeOf(object: KubeObject): { readonly name: string; readonly namespace?: string } {
  const { name = "", namespace } = object.metadata;
  return namespace === undefined ? { name } : { name, namespace };
}

export interface OwnedListener<T> {
  /** Something of the object, or of what it was before, changed. `removed` tells that it is gone. */
  changed(object: T, old: T | undefined, removed: boolean): void;
}

/** The objects of an informer by the uid of their controller, and those without one by namespace. */
export class OwnedIndex<T extends KubeObject> implements Disposable {
  readonly #groups = new Map<string, Map<string, T>>();
  readonly #watch: Disposable;

  constructor(informer: Informer<T>, listener: OwnedListener<T>) {
    this.#watch = informer.watch({
      added: (object) => {
        this.#put(object);
        listener.changed(object, undefined, false);
      },
      updated: (object, old) => {
        this.#drop(old);
        this.#put(object);
        listener.changed(object, old, false);
      },
      removed: (object) => {
        this.#drop(object);
        listener.changed(object, undefined, true);
      },
    });
  }

  ownedBy(uid: string): T[] {
    return [...(this.#groups.get(uid)?.values() ?? [])];
  }

  orphansIn(namespace: string): T[] {
    return [...(this.#groups.get(orphansOf(namespace))?.values() ?? [])];
  }

  #put(object: T): void {
    const group = groupOf(object);
    const members = this.#groups.get(group) ?? new Map<string, T>();
    members.set(objectKey(object), object);
    this.#groups.set(group, members);
  }

  #drop(object: T): void {
    const group = groupOf(object);
    const members = this.#groups.get(group);
    members?.delete(objectKey(object));
    if (members?.size === 0) this.#groups.delete(group);
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }
}

function groupOf(object: KubeObject): string {
  return controllerOf(object)?.uid ?? orphansOf(object.metadata.namespace ?? "");
}

function orphansOf(namespace: string): string {
  return `orphans/${namespace}`;
}

export interface Claim<T extends KubeObject> {
  readonly kube: KubeClient;
  readonly ownerType: ResourceType;
  readonly owner: KubeObject & { readonly spec: { readonly selector: LabelSelector } };
  readonly type: ResourceType;
  readonly index: OwnedIndex<T>;
  /** Which orphans are worth adopting. */
  readonly adopts: (object: T) => boolean;
}

/** What the owner controls: adopts matching orphans and lets go of what no longer matches. */
export async function claim<T extends KubeObject>(claim: Claim<T>): Promise<T[]> {
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

async function adopt<T extends KubeObject>(claim: Claim<T>, orphans: T[]): Promise<T[]> {
  const { kube, owner, ownerType, type } = claim;
  const fresh = await kube.find(ownerType, placeOf(owner));
  if (fresh?.metadata.uid !== owner.metadata.uid || !fresh || isDeleting(fresh)) return [];
  return Promise.all(
    orphans.map((object) => {
      const { uid, resourceVersion, ownerReferences = [] } = object.metadata;
      const owners = [...ownerReferences, controlledBy(ownerType, owner)];
      const metadata = { uid, resourceVersion, ownerReferences: owners };
      return kube.patch<T>(type, placeOf(object), { metadata }, { type: "merge" });
    }),
  );
}

async function release<T extends KubeObject>({ kube, owner, type }: Claim<T>, object: T): Promise<void> {
  await dropOwners(kube, { type, object, uids: [owner.metadata.uid ?? ""] });
}

/** Takes the owners with these uids off an object. */
export async function dropOwners(
  kube: KubeClient,
  change: { readonly type: ResourceType; readonly object: KubeObject; readonly uids: readonly string[] },
): Promise<void> {
  const { uid, resourceVersion, ownerReferences = [] } = change.object.metadata;
  const dropped = new Set(change.uids);
  const left = ownerReferences.filter((reference) => !dropped.has(reference.uid));
  const metadata = { uid, resourceVersion, ownerReferences: left.length > 0 ? left : null };
  await kube.patch(change.type, placeOf(change.object), { metadata }, { type: "merge" });
}
