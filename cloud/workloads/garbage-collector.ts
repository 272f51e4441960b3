import { KubeError, resources, type Informer, type ResourceType } from "#cloud/kubeclient";
import { objectKey, type KubeObject, type OwnerReference } from "#shared/kube";
import type { ControllerDeps, StartController } from "#cloud/control";
import { dropOwners, isDeleting, placeOf } from "./replicaset-ownership.ts";
import { WorkQueue } from "#cloud/control";

const foreground = "foregroundDeletion";
const orphan = "orphan";

interface Collection {
  readonly type: ResourceType;
  readonly informer: Informer<KubeObject>;
}

/** Deletes what lost its owners, and does for owners being deleted what their finalizers ask for. */
export const startGarbageCollector: StartController = (deps) => {
  const collector = new GarbageCollector(deps);
  return { [Symbol.asyncDispose]: () => collector.stop() };
};

class GarbageCollector {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #collections: ReadonlyMap<string, Collection>;
  readonly #owners: ReadonlyMap<string, Informer<KubeObject>>;
  /** Queue keys of the dependents of each owner uid. */
  readonly #dependents = new Map<string, Set<string>>();
  readonly #watches: Disposable[];

  constructor(deps: ControllerDeps) {
    const { clock, log } = deps;
    this.#deps = deps;
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "garbage", clock, log, reconcile });
    const collections: Collection[] = [
      { type: resources.deployments, informer: deps.deployments },
      { type: resources.replicaSets, informer: deps.replicaSets },
      { type: resources.pods, informer: deps.pods },
    ];
    this.#collections = new Map(collections.map((collection) => [collection.type.plural, collection]));
    this.#owners = new Map([
      ...collections.map(({ type, informer }) => [type.plural, informer] as const),
      [resources.nodes.plural, deps.nodes] as const,
      [resources.namespaces.plural, deps.namespaces] as const,
    ]);
    this.#watches = collections.map((collection) => this.#watchCollection(collection));
    for (const informer of [deps.nodes, deps.namespaces])
      this.#watches.push(informer.watch({ removed: ({ metadata }) => this.#wakeDependents(metadata.uid) }));
  }

  async stop(): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
  }

  #watchCollection({ type, informer }: Collection): Disposable {
    const keyOf = (object: KubeObject): string => `${type.plural} ${objectKey(object)}`;
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
      const type = typeOf(owner);
      if (type && this.#collections.has(type.plural))
        this.#queue.add(`${type.plural} ${object.metadata.namespace ?? ""}/${owner.name}`);
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
    const collection = this.#collections.get(key.slice(0, space));
    const object = collection?.informer.get(key.slice(space + 1));
    return collection && object ? { type: collection.type, object } : undefined;
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
    const type = typeOf(reference);
    if (!type) return "there";
    const { namespace } = dependent.metadata;
    const at =
      type.namespaced && namespace !== undefined
        ? { name: reference.name, namespace }
        : { name: reference.name };
    const copy = this.#owners.get(type.plural)?.get(objectKey({ metadata: at }));
    const owner =
      copy?.metadata.uid === reference.uid ? copy : await this.#deps.kube.find<KubeObject>(type, at);
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
    for (const collection of this.#collections.values()) {
      const { items } = await kube.list(collection.type, namespace === undefined ? {} : { namespace });
      const dependents = items.filter((object) => ownersOf(object).some((one) => one.uid === uid));
      await Promise.all(
        dependents.map((object) =>
          ignoreGone(dropOwners(kube, { type: collection.type, object, uids: [uid] })),
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

function typeOf({ apiVersion, kind }: OwnerReference): ResourceType | undefined {
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  return Object.values(resources).find((type) => type.kind === kind && type.group === group);
}

async function ignoreGone(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof KubeError && error.httpStatus === 404)) throw error;
  }
}
