import { ignoreMissing, objectAt, type KubeClient, type ResourceType } from "#cloud/kube-client";
import {
  isDeleting,
  removeOwners,
  WorkQueue,
  type ControllerDeps,
  type StartController,
  type TypedObject,
} from "#cloud/controllers/framework";
import { objectKey, type KubeObject } from "#shared/kube";
import { cyclesOf } from "./cycles.ts";
import { FollowedKinds, kindId, type FollowedKind } from "./followed-kinds.ts";
import { foregroundFinalizer, ownersOf, OwnerGraph, waitsForDependents } from "./owner-graph.ts";
import { OwnerStates, ownerTarget, type OwnerState } from "./owner-states.ts";

const orphanFinalizer = "orphan";
/** Not the key of an object: reconciling it looks for owners that wait for each other. */
const cyclesKey = "cycles";
/** Owners that wait are usually gone sooner, so that cycles are seldom looked for. */
const cycleCheckMs = 200;
/** Concurrent requests for the dependents of one owner, of which there may be 10,000. */
const concurrentRequests = 10;

/**
 * Deletes objects whose owners are gone, and does for owners being deleted what their finalizers ask for: deletes
 * (foregroundDeletion) or releases (orphan) their dependents. As kube-controller-manager's pkg/controller/garbagecollector.
 */
export const startGarbageCollector: StartController = (deps) => {
  const collector = new GarbageCollector(deps);
  return { [Symbol.asyncDispose]: () => collector.stop() };
};

class GarbageCollector {
  readonly #kube: KubeClient;
  readonly #queue: WorkQueue;
  readonly #kinds: FollowedKinds;
  readonly #graph = new OwnerGraph();
  readonly #owners: OwnerStates;
  /** Uids of waiting owners whose dependents were queued: dependents that come later queue themselves. */
  readonly #queuedDependents = new Set<string>();

  constructor(deps: ControllerDeps) {
    const { clock, log } = deps;
    this.#kube = deps.kube;
    const reconcile = (key: string): Promise<void> =>
      key === cyclesKey ? this.#breakCycles() : this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "garbage", clock, log, reconcile });
    this.#kinds = new FollowedKinds(deps.kube, (kind) => this.#watchKind(kind));
    this.#owners = new OwnerStates(deps, this.#kinds);
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
        if (relevantParts(object) !== relevantParts(old)) {
          this.#graph.remove(keyOf(old), old);
          this.#graph.add(keyOf(object), object);
          this.#queue.add(keyOf(object));
          this.#addOwners(old);
        }
        if (object.metadata.uid !== old.metadata.uid) this.#addDependents(old);
      },
      removed: (object) => {
        this.#graph.remove(keyOf(object), object);
        this.#addDependents(object);
        this.#addOwners(object);
      },
    });
  }

  /** An object is gone: its dependents may have no owner any more. */
  #addDependents(object: KubeObject): void {
    this.#queuedDependents.delete(object.metadata.uid ?? "");
    for (const key of this.#graph.dependentsOf(object)) this.#queue.add(key);
  }

  /** A dependent is gone: owners that are deleted in the foreground wait for that. */
  #addOwners(object: KubeObject): void {
    for (const owner of ownersOf(object)) {
      const type = this.#kinds.ownerKind(owner)?.type;
      const target = type && ownerTarget(type, owner, object);
      if (target) this.#queue.add(`${kindId(type)} ${objectKey({ metadata: target })}`);
    }
  }

  async #reconcile(key: string): Promise<void> {
    const found = this.#find(key);
    if (!found) return;
    const { type, object } = found;
    if (isDeleting(object)) {
      if (object.metadata.finalizers?.includes(orphanFinalizer)) await this.#orphanDependents(type, object);
      else if (waitsForDependents(object)) await this.#deleteDependents(found);
      return;
    }
    if (ownersOf(object).length > 0) await this.#collect(found);
  }

  #find(key: string): TypedObject | undefined {
    const space = key.indexOf(" ");
    const kind = this.#kinds.find(key.slice(0, space));
    const object = kind?.informer.get(key.slice(space + 1));
    return kind && object ? { type: kind.type, object } : undefined;
  }

  /** Deletes a dependent whose owners are all gone; removes the references to absent owners from one with another owner. */
  async #collect(dependent: TypedObject): Promise<void> {
    const { type, object } = dependent;
    const owners = ownersOf(object);
    const states: OwnerState[] = [];
    // One after the other: an object may name 10,000 owners.
    for (const owner of owners) states.push(await this.#owners.stateOf(owner, dependent));
    const lost = owners.filter((_owner, index) => states[index] !== "present");
    if (lost.length === 0) return;
    if (lost.length < owners.length) {
      const uids = lost.map(({ uid }) => uid);
      await ignoreMissing(removeOwners(this.#kube, dependent, uids));
      return;
    }
    const hasDependents = this.#graph.dependentsOf(object).size > 0;
    const isWaitedFor = states.includes("waiting") && hasDependents;
    await this.#delete(type, object, isWaitedFor);
  }

  async #delete(type: ResourceType, object: KubeObject, isWaitedFor: boolean): Promise<void> {
    const { uid = "", finalizers = [] } = object.metadata;
    const asked = finalizers.includes(orphanFinalizer) ? "Orphan" : "Background";
    const propagation = isWaitedFor || finalizers.includes(foregroundFinalizer) ? "Foreground" : asked;
    await ignoreMissing(this.#kube.remove(type, objectAt(object), { uid, propagation }));
  }

  async #deleteDependents(owner: TypedObject): Promise<void> {
    const { type, object } = owner;
    const { uid = "" } = object.metadata;
    if (!this.#queuedDependents.has(uid)) {
      this.#queuedDependents.add(uid);
      for (const key of this.#graph.dependentsOf(object)) {
        const dependent = this.#find(key)?.object;
        if (dependent && !isDeleting(dependent)) this.#queue.add(key);
      }
    }
    if (this.#isBlocked(owner)) this.#queue.addAfter(cyclesKey, cycleCheckMs);
    else await this.#removeFinalizer(type, object, foregroundFinalizer);
  }

  #isBlocked(owner: TypedObject): boolean {
    for (const key of this.#graph.blockersOf(owner.object))
      if (this.#isBlockedBy(owner, this.#find(key)?.object)) return true;
    return false;
  }

  /** Whether a dependent names the owner where it is: by uid alone one namespace could block deletions in another. */
  #isBlockedBy({ type, object: { metadata } }: TypedObject, dependent: KubeObject | undefined): boolean {
    if (!dependent) return false;
    return ownersOf(dependent).some((reference) => {
      if (reference.uid !== metadata.uid || reference.blockOwnerDeletion !== true) return false;
      const kind = this.#kinds.ownerKind(reference)?.type;
      const target = kind && kindId(kind) === kindId(type) && ownerTarget(type, reference, dependent);
      return target ? objectKey({ metadata: target }) === objectKey({ metadata }) : false;
    });
  }

  /** Owners that wait for each other would do so for ever: within a cycle nothing blocks a deletion. */
  async #breakCycles(): Promise<void> {
    const waiting = this.#graph.waiting();
    const next = (key: string): string[] => {
      const owner = this.#find(key);
      if (!owner) return [];
      const blockers = [...this.#graph.blockersOf(owner.object)].filter((blocker) => waiting.has(blocker));
      return blockers.filter((blocker) => this.#isBlockedBy(owner, this.#find(blocker)?.object));
    };
    for (const cycle of cyclesOf(waiting, next)) {
      const members = [...cycle].flatMap((key) => this.#find(key) ?? []);
      const uids = new Set(members.map(({ object }) => object.metadata.uid ?? ""));
      await forEachConcurrently(members, (member) => this.#unblock(member, uids));
    }
  }

  async #unblock({ type, object }: TypedObject, uids: ReadonlySet<string>): Promise<void> {
    const { uid, resourceVersion } = object.metadata;
    const ownerReferences = ownersOf(object).map((reference) =>
      uids.has(reference.uid) ? { ...reference, blockOwnerDeletion: false } : reference,
    );
    const metadata = { uid, resourceVersion, ownerReferences };
    await ignoreMissing(this.#kube.patch(type, objectAt(object), { metadata }, { type: "merge" }));
  }

  /** Lists dependents from the API: one that the local copy does not have yet would be deleted afterwards. */
  async #orphanDependents(type: ResourceType, owner: KubeObject): Promise<void> {
    const { uid = "", namespace } = owner.metadata;
    for (const { type: dependentType } of this.#kinds.all()) {
      if (namespace !== undefined && !dependentType.namespaced) continue;
      const options = namespace === undefined ? {} : { namespace };
      // A custom kind may be deleted meanwhile.
      const listed = await ignoreMissing(this.#kube.list(dependentType, options));
      const dependents = (listed?.items ?? []).filter((object) =>
        ownersOf(object).some((reference) => reference.uid === uid),
      );
      await forEachConcurrently(dependents, async (object) => {
        await ignoreMissing(removeOwners(this.#kube, { type: dependentType, object }, [uid]));
      });
    }
    await this.#removeFinalizer(type, owner, orphanFinalizer);
  }

  async #removeFinalizer(type: ResourceType, owner: KubeObject, finalizer: string): Promise<void> {
    const { uid, resourceVersion, finalizers = [] } = owner.metadata;
    const left = finalizers.filter((name) => name !== finalizer);
    const metadata = { uid, resourceVersion, finalizers: left.length > 0 ? left : null };
    await ignoreMissing(this.#kube.patch(type, objectAt(owner), { metadata }, { type: "merge" }));
  }
}

/** The parts of an object that the collector acts on. */
function relevantParts({ metadata }: KubeObject): string {
  const { uid, ownerReferences = [], finalizers = [], deletionTimestamp } = metadata;
  return JSON.stringify([uid, ownerReferences, finalizers, deletionTimestamp !== undefined]);
}

async function forEachConcurrently<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const worker = async (): Promise<void> => {
    for (const item of left) await run(item);
  };
  await Promise.all(Array.from({ length: concurrentRequests }, worker));
}
