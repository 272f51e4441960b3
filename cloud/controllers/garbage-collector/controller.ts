import { KubeError, type KubeClient, type ObjectAt, type ResourceType } from "#cloud/kube-client";
import { objectKey, type KubeObject, type OwnerReference } from "#shared/kube";
import {
  recordEvent,
  WorkQueue,
  type ControllerDeps,
  type StartController,
} from "#cloud/controllers/framework";
import { dropOwners, isDeleting, placeOf } from "#cloud/controllers/framework";
import { AbsentOwners } from "./absent-owners.ts";
import { FollowedKinds, kindId, type FollowedKind } from "./followed-kinds.ts";
import { circlesOf, ownersOf, OwnerGraph, waitsForDependents } from "./owner-graph.ts";

const foreground = "foregroundDeletion";
const orphan = "orphan";
/** Names no object: reconciling it looks for owners that wait for each other. */
const circles = "circles";
const lookForCirclesMs = 200;
const callsAtATime = 10;

/** Deletes what lost its owners, and does for owners being deleted what their finalizers ask for. */
export const startGarbageCollector: StartController = (deps) => {
  const collector = new GarbageCollector(deps);
  return { [Symbol.asyncDispose]: () => collector.stop() };
};

interface Found {
  readonly type: ResourceType;
  readonly object: KubeObject;
}

class GarbageCollector {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #kinds: FollowedKinds;
  readonly #graph = new OwnerGraph();
  readonly #absent = new AbsentOwners();
  /** Uids of waiting owners whose dependents were queued: those that come later queue themselves. */
  readonly #asked = new Set<string>();

  constructor(deps: ControllerDeps) {
    const { clock, log } = deps;
    this.#deps = deps;
    const reconcile = (key: string): Promise<void> =>
      key === circles ? this.#breakCircles() : this.#reconcile(key);
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
        this.#graph.add(keyOf(object), object);
        if (ownersOf(object).length > 0 || isDeleting(object)) this.#queue.add(keyOf(object));
      },
      updated: (object, old) => {
        if (concern(object) !== concern(old)) {
          this.#graph.remove(keyOf(old), old);
          this.#graph.add(keyOf(object), object);
          this.#queue.add(keyOf(object));
          this.#wakeOwners(old);
        }
        if (object.metadata.uid !== old.metadata.uid) this.#lost(old);
      },
      removed: (object) => {
        this.#graph.remove(keyOf(object), object);
        this.#lost(object);
        this.#wakeOwners(object);
      },
    });
  }

  #lost(object: KubeObject): void {
    this.#asked.delete(object.metadata.uid ?? "");
    for (const key of this.#graph.dependentsOf(object)) this.#queue.add(key);
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
    if (isDeleting(object)) {
      if (object.metadata.finalizers?.includes(orphan)) await this.#orphanDependents(type, object);
      else if (waitsForDependents(object)) await this.#deleteDependents(found);
      return;
    }
    if (ownersOf(object).length > 0) await this.#judge(type, object);
  }

  #lookUp(key: string): Found | undefined {
    const space = key.indexOf(" ");
    const kind = this.#kinds.find(key.slice(0, space));
    const object = kind?.informer.get(key.slice(space + 1));
    return kind && object ? { type: kind.type, object } : undefined;
  }

  /** Deletes a dependent that no owner holds any more; takes owners that are gone off one that others hold. */
  async #judge(type: ResourceType, object: KubeObject): Promise<void> {
    const owners = ownersOf(object);
    const states: OwnerState[] = [];
    // One after the other: an object can name owners by the ten thousand.
    // oxlint-disable-next-line no-await-in-loop
    for (const owner of owners) states.push(await this.#stateOf(owner, { type, object }));
    const lost = owners.filter((_owner, index) => states[index] !== "there");
    if (lost.length === 0) return;
    if (lost.length < owners.length) {
      const uids = lost.map(({ uid }) => uid);
      await ignoreGone(dropOwners(this.#deps.kube, { type, object, uids }));
      return;
    }
    const hasDependents = this.#graph.dependentsOf(object).size > 0;
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
  async #stateOf(reference: OwnerReference, dependent: Found): Promise<OwnerState> {
    const kind = this.#kinds.ownerKind(reference);
    if (!kind) return "there";
    const at = ownerPlace(kind.type, reference, dependent.object);
    if (!at) {
      // A cluster-scoped object cannot be owned from within a namespace; upstream keeps it and says so.
      this.#sayOnce(reference, dependent, true);
      return "there";
    }
    const key = objectKey({ metadata: at });
    const copy = kind.informer.get(key);
    const id = `${kindId(kind.type)} ${key} ${reference.uid}`;
    if (copy?.metadata.uid !== reference.uid && this.#absent.has(id)) {
      this.#sayOnce(reference, dependent, this.#absent.isElsewhere(id));
      return "gone";
    }
    const owner =
      copy?.metadata.uid === reference.uid ? copy : await this.#deps.kube.find<KubeObject>(kind.type, at);
    if (owner?.metadata.uid === reference.uid) return waitsForDependents(owner) ? "waiting" : "there";
    const elsewhere = kind.informer.list().some(({ metadata }) => metadata.uid === reference.uid);
    this.#absent.add(id, elsewhere);
    this.#sayOnce(reference, dependent, elsewhere);
    return "gone";
  }

  /** An owner of another namespace is no owner: the dependent is treated as one whose owner is gone. */
  #sayOnce(reference: OwnerReference, { type, object }: Found, isInvalid: boolean): void {
    const { uid = "", namespace = "" } = object.metadata;
    const id = `event ${uid} ${reference.uid}`;
    if (!isInvalid || this.#absent.has(id)) return;
    this.#absent.add(id, true);
    const { apiVersion, kind, name } = reference;
    const owner = `[${apiVersion}/${kind}, namespace: ${namespace}, name: ${name}, uid: ${reference.uid}]`;
    void recordEvent(this.#deps, type, object, {
      type: "Warning",
      reason: "OwnerRefInvalidNamespace",
      message: `ownerRef ${owner} does not exist in namespace ${JSON.stringify(namespace)}`,
      component: "garbage-collector-controller",
    });
  }

  async #deleteDependents({ type, object: owner }: Found): Promise<void> {
    const { uid = "" } = owner.metadata;
    if (!this.#asked.has(uid)) {
      this.#asked.add(uid);
      for (const key of this.#graph.dependentsOf(owner)) {
        const dependent = this.#lookUp(key)?.object;
        if (dependent && !isDeleting(dependent)) this.#queue.add(key);
      }
    }
    if (this.#isBlocked({ type, object: owner })) this.#queue.addAfter(circles, lookForCirclesMs);
    else await this.#dropFinalizer(type, owner, foreground);
  }

  #isBlocked(owner: Found): boolean {
    for (const key of this.#graph.blockersOf(owner.object))
      if (this.#isOwned(this.#lookUp(key)?.object, owner)) return true;
    return false;
  }

  /** Whether a dependent names the owner where it is: a uid alone would let one namespace hold up another. */
  #isOwned(dependent: KubeObject | undefined, { type, object: { metadata } }: Found): boolean {
    if (!dependent) return false;
    return ownersOf(dependent).some((reference) => {
      if (reference.uid !== metadata.uid || reference.blockOwnerDeletion !== true) return false;
      const kind = this.#kinds.ownerKind(reference)?.type;
      const at = kind && kindId(kind) === kindId(type) && ownerPlace(type, reference, dependent);
      return at ? objectKey({ metadata: at }) === objectKey({ metadata }) : false;
    });
  }

  /** Owners that wait for each other would do so for ever: within a circle nobody is waited for any longer. */
  async #breakCircles(): Promise<void> {
    const waiting = this.#graph.waiting();
    const next = (key: string): string[] => {
      const owner = this.#lookUp(key);
      if (!owner) return [];
      const blockers = [...this.#graph.blockersOf(owner.object)].filter((one) => waiting.has(one));
      return blockers.filter((one) => this.#isOwned(this.#lookUp(one)?.object, owner));
    };
    for (const circle of circlesOf(waiting, next)) {
      const members = [...circle].flatMap((key) => this.#lookUp(key) ?? []);
      const uids = new Set(members.map(({ object }) => object.metadata.uid ?? ""));
      // oxlint-disable-next-line no-await-in-loop
      await sideBySide(members, (member) => this.#unblock(member, uids));
    }
  }

  async #unblock({ type, object }: Found, uids: ReadonlySet<string>): Promise<void> {
    const { uid, resourceVersion } = object.metadata;
    const ownerReferences = ownersOf(object).map((reference) =>
      uids.has(reference.uid) ? { ...reference, blockOwnerDeletion: false } : reference,
    );
    const metadata = { uid, resourceVersion, ownerReferences };
    await ignoreGone(this.#deps.kube.patch(type, placeOf(object), { metadata }, { type: "merge" }));
  }

  /** Asks the API for the dependents: one that is not in the local copy yet would be deleted afterwards. */
  async #orphanDependents(type: ResourceType, owner: KubeObject): Promise<void> {
    const { uid = "", namespace } = owner.metadata;
    const { kube } = this.#deps;
    for (const { type: dependentType } of this.#kinds.all()) {
      if (namespace !== undefined && !dependentType.namespaced) continue;
      const items = await listThere(kube, dependentType, namespace);
      const dependents = items.filter((object) => ownersOf(object).some((one) => one.uid === uid));
      await sideBySide(dependents, (object) =>
        ignoreGone(dropOwners(kube, { type: dependentType, object, uids: [uid] })),
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

type OwnerState = "there" | "waiting" | "gone";

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

/** A few at a time: ten thousand dependents must not become ten thousand calls at once. */
async function sideBySide<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const worker = async (): Promise<void> => {
    // oxlint-disable-next-line no-await-in-loop
    for (const item of left) await run(item);
  };
  await Promise.all(Array.from({ length: callsAtATime }, worker));
}
