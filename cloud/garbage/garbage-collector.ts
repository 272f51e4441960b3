import { KubeError, type KubeClient, type ObjectAt, type ResourceType } from "#cloud/kubeclient";
import { objectKey, type KubeObject, type OwnerReference } from "#shared/kube";
import type { ControllerDeps, StartController } from "#cloud/control";
import { FollowedKinds, kindId, type FollowedKind } from "./followed-kinds.ts";
import { dropOwners, isDeleting, placeOf } from "#cloud/workloads";
import { WorkQueue } from "#cloud/control";

const foreground = "foregroundDeletion";
const orphan = "orphan";

/** Deletes what lost its owners, and does for owners being deleted what their finalizers ask for. */
export const startGarbageCollector: StartController = (deps) => {
  const collector = new GarbageCollector(deps);
  return { [Symbol.asyncDispose]: () => collector.stop() };
};

class GarbageCollector {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #kinds: FollowedKinds;
  /** Queue keys of the dependents of each owner uid. */
  readonly #dependents = new Map<string, Set<string>>();

  constructor(deps: ControllerDeps) {
    const { clock, log } = deps;
    this.#deps = deps;
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "garbage", clock, log, reconcile });
    this.#kinds = new FollowedKinds(deps.kube, (kind) => this.#watchKind(kind));
  }

  async stop(): Promise<void> {
    await this.#kinds[Symbol.asyncDispose]();
    await this.#queue[Symbol.asyncDispose]();
  }

  #watchKind({ type, informer }: FollowedKind): Disposable {
    const id = kindId(type);
    const keyOf = (object: KubeObject): string => `${id} ${objectKey(object)}`;
    return informer.watch({
      added: (object) => {
        this.#index(keyOf(object), object);
        if (ownersOf(object).length > 0 || isDeleting(object)) this.#queue.add(keyOf(object));
      },
      updated: (object, old) => {
        this.#unindex(keyOf(old), old);
        this.#index(keyOf(object), object);
        if (concern(object) !== concern(old)) {
          this.#queue.add(keyOf(object));
          this.#wakeOwners(old);
        }
        if (object.metadata.uid !== old.metadata.uid) this.#wakeDependents(old.metadata.uid);
      },
      removed: (object) => {
        this.#unindex(keyOf(object), object);
        this.#wakeDependents(object.metadata.uid);
        this.#wakeOwners(object);
      },
    });
  }

  #index(key: string, object: KubeObject): void {
    for (const { uid } of ownersOf(object)) {
      const keys = this.#dependents.get(uid) ?? new Set<string>();
      keys.add(key);
      this.#dependents.set(uid, keys);
    }
  }

  #unindex(key: string, object: KubeObject): void {
    for (const { uid } of ownersOf(object)) {
      const keys = this.#dependents.get(uid);
      keys?.delete(key);
      if (keys?.size === 0) this.#dependents.delete(uid);
    }
  }

  #wakeDependents(uid: string | undefined): void {
    for (const key of this.#dependents.get(uid ?? "") ?? []) this.#queue.add(key);
  }

  /** An owner deleted in the foreground waits for its dependents to be gone. */
  #wakeOwners(object: KubeObject): void {
    for (const owner of ownersOf(object)) {
      const type = this.#kinds.ownerKind(owner)?.type;
      const at = type && ownerPlace(type, owner, object);
      if (at) this.#queue.add(`${kindId(type)} ${objectKey({ metadata: at })}`);
    }
  }

  async #reconcile(key: string): Promise<void> {
    const found = this.#lookUp(key);
    if (!found) return;
    const { type, object } = found;
    const finalizers = object.metadata.finalizers ?? [];
    if (isDeleting(object)) {
      if (finalizers.includes(orphan)) await this.#orphanDependents(type, object);
      else if (finalizers.includes(foreground)) await this.#deleteDependents(type, object);
      return;
    }
    if (ownersOf(object).length > 0) await this.#judge(type, object);
  }

  #lookUp(key: string): { readonly type: ResourceType; readonly object: KubeObject } | undefined {
    const space = key.indexOf(" ");
    const kind = this.#kinds.find(key.slice(0, space));
    const object = kind?.informer.get(key.slice(space + 1));
    return kind && object ? { type: kind.type, object } : undefined;
  }

  /** Deletes a dependent that no owner holds any more; takes owners that are gone off one that others hold. */
  async #judge(type: ResourceType, object: KubeObject): Promise<void> {
    const owners = ownersOf(object);
    const states = await Promise.all(owners.map((owner) => this.#stateOf(owner, object)));
    const lost = owners.filter((_owner, index) => states[index] !== "there");
    if (lost.length === 0) return;
    if (lost.length < owners.length) {
      const uids = lost.map(({ uid }) => uid);
      await ignoreGone(dropOwners(this.#deps.kube, { type, object, uids }));
      return;
    }
    const hasDependents = this.#dependents.has(object.metadata.uid ?? "");
    const isWaitedFor = states.includes("waiting") && hasDependents;
    await this.#delete(type, object, isWaitedFor);
  }

  async #delete(type: ResourceType, object: KubeObject, isWaitedFor: boolean): Promise<void> {
    const { uid = "", finalizers = [] } = object.metadata;
    const asked = finalizers.includes(orphan) ? "Orphan" : "Background";
    const propagation = isWaitedFor || finalizers.includes(foreground) ? "Foreground" : asked;
    await ignoreGone(this.#deps.kube.remove(type, placeOf(object), { uid, propagation }));
  }

  /** Kinds we know nothing of count as there: nothing is deleted by guess. */
  async #stateOf(reference: OwnerReference, dependent: KubeObject): Promise<"there" | "waiting" | "gone"> {
    const kind = this.#kinds.ownerKind(reference);
    const at = kind && ownerPlace(kind.type, reference, dependent);
    if (!at) return "there";
    const copy = kind.informer.get(objectKey({ metadata: at }));
    const owner =
      copy?.metadata.uid === reference.uid ? copy : await this.#deps.kube.find<KubeObject>(kind.type, at);
    if (owner?.metadata.uid !== reference.uid) return "gone";
    const isWaiting = isDeleting(owner) && owner.metadata.finalizers?.includes(foreground) === true;
    return isWaiting ? "waiting" : "there";
  }

  async #deleteDependents(type: ResourceType, owner: KubeObject): Promise<void> {
    const uid = owner.metadata.uid ?? "";
    const keys = [...(this.#dependents.get(uid) ?? [])];
    const blocking = keys.filter((key) =>
      ownersOf(this.#lookUp(key)?.object).some((one) => one.uid === uid && one.blockOwnerDeletion === true),
    );
    for (const key of keys) this.#queue.add(key);
    if (blocking.length === 0) await this.#dropFinalizer(type, owner, foreground);
  }

  /** Asks the API for the dependents: one that is not in the local copy yet would be deleted afterwards. */
  async #orphanDependents(type: ResourceType, owner: KubeObject): Promise<void> {
    const { uid = "", namespace } = owner.metadata;
    const { kube } = this.#deps;
    for (const { type: dependentType } of this.#kinds.all()) {
      if (namespace !== undefined && !dependentType.namespaced) continue;
      const items = await listThere(kube, dependentType, namespace);
      const dependents = items.filter((object) => ownersOf(object).some((one) => one.uid === uid));
      await Promise.all(
        dependents.map((object) =>
          ignoreGone(dropOwners(kube, { type: dependentType, object, uids: [uid] })),
        ),
      );
    }
    await this.#dropFinalizer(type, owner, orphan);
  }

  async #dropFinalizer(type: ResourceType, owner: KubeObject, finalizer: string): Promise<void> {
    const { uid, resourceVersion, finalizers = [] } = owner.metadata;
    const left = finalizers.filter((name) => name !== finalizer);
    const metadata = { uid, resourceVersion, finalizers: left.length > 0 ? left : null };
    await ignoreGone(this.#deps.kube.patch(type, placeOf(owner), { metadata }, { type: "merge" }));
  }
}

function ownersOf(object: KubeObject | undefined): readonly OwnerReference[] {
  return object?.metadata.ownerReferences ?? [];
}

/** What of an object the collector acts on. */
function concern({ metadata }: KubeObject): string {
  const { uid, ownerReferences = [], finalizers = [], deletionTimestamp } = metadata;
  return JSON.stringify([uid, ownerReferences, finalizers, deletionTimestamp !== undefined]);
}

/** Where the owner is; nothing can be owned from within another namespace. */
function ownerPlace(
  { namespaced }: ResourceType,
  { name }: OwnerReference,
  { metadata: { namespace } }: KubeObject,
): ObjectAt | undefined {
  if (!namespaced) return { name };
  return namespace === undefined ? undefined : { name, namespace };
}

/** A custom kind may end meanwhile. */
async function listThere(kube: KubeClient, type: ResourceType, namespace?: string): Promise<KubeObject[]> {
  try {
    return (await kube.list(type, namespace === undefined ? {} : { namespace })).items;
  } catch (error) {
    if (error instanceof KubeError && error.httpStatus === 404) return [];
    throw error;
  }
}

async function ignoreGone(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof KubeError && error.httpStatus === 404)) throw error;
  }
}
