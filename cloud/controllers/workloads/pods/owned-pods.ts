import { isKubeError, objectAt, resources, type Informer, type ResourceType } from "#cloud/kube-client";
import {
  claimOwned,
  ControllerEvents,
  controllerOf,
  isDeleting,
  isSelectedBy,
  type ControllerDeps,
  type OwnedIndex,
  type PodOwner,
} from "#cloud/controllers/framework";
import { asError } from "#shared/errors";
import { objectKey, type Pod } from "#shared/kube";
import { Expectations } from "./expectations.ts";
import { isActive } from "./pod-state.ts";

/** The messages of Events, where they are not those of most controllers. */
export interface PodTexts<T> {
  created(owner: T, pod: string): string;
  createFailed(owner: T, pod: string, error: string): string;
  deleted(owner: T, pod: string): string;
  deleteFailed(owner: T, pod: string, error: string): string;
}

const plainTexts: PodTexts<unknown> = {
  created: (_owner, pod) => `Created pod: ${pod}`,
  createFailed: (_owner, _pod, error) => `Error creating: ${error}`,
  deleted: (_owner, pod) => `Deleted pod: ${pod}`,
  deleteFailed: (_owner, _pod, error) => `Error deleting: ${error}`,
};

export interface OwnedPodsOptions<T extends PodOwner> {
  /** The kind of the owners. */
  readonly type: ResourceType;
  readonly owners: Informer<T>;
  /** The source of the Events, e.g. "replicaset-controller". */
  readonly component: string;
  readonly texts?: PodTexts<T>;
  /** Set on pods that are adopted, removed from those that are released. */
  readonly finalizer?: string;
  /** Something of the owner with this key has changed. */
  readonly changed: (key: string) => void;
}

/**
 * The pods of the owners of one kind: which belong to which, what the local copy does not show yet, and Events about what
 * is created and deleted. As RealPodControl and the pod handlers of kube-controller-manager.
 */
export class OwnedPods<T extends PodOwner> implements AsyncDisposable {
  readonly events: ControllerEvents;
  readonly #deps: ControllerDeps;
  readonly #options: OwnedPodsOptions<T>;
  readonly #expectations: Expectations;
  readonly #pods: OwnedIndex<Pod>;
  readonly #texts: PodTexts<T>;
  readonly #watches = new DisposableStack();

  constructor(deps: ControllerDeps, options: OwnedPodsOptions<T>) {
    this.#deps = deps;
    this.#options = options;
    this.#texts = options.texts ?? plainTexts;
    this.events = new ControllerEvents(deps, options.component);
    this.#expectations = new Expectations(deps.clock);
    this.#pods = deps.podsByOwner;
    this.#watches.use(
      this.#pods.watch({ changed: (pod, old, removed) => this.#podChanged(pod, old, removed) }),
    );
    this.#watches.use(
      options.owners.watch({
        added: (owner) => options.changed(objectKey(owner)),
        updated: (owner) => options.changed(objectKey(owner)),
        removed: ({ metadata }) => this.#expectations.forget(metadata.uid ?? ""),
      }),
    );
  }

  #podChanged(pod: Pod, old: Pod | undefined, removed: boolean): void {
    if (removed) this.#expectations.removed(controllerOf(pod)?.uid ?? "", pod.metadata.uid ?? "");
    this.#ownerChanged(pod);
    if (old && controllerOf(old)?.uid !== controllerOf(pod)?.uid) this.#ownerChanged(old);
    if (!removed && !controllerOf(pod)) this.#adoptersChanged(pod);
  }

  #ownerChanged(pod: Pod): void {
    const owner = controllerOf(pod);
    const { type, changed } = this.#options;
    if (owner?.kind === type.kind) changed(`${pod.metadata.namespace ?? ""}/${owner.name}`);
  }

  #adoptersChanged({ metadata }: Pod): void {
    const { owners, changed } = this.#options;
    for (const owner of owners.list())
      if (
        owner.metadata.namespace === metadata.namespace &&
        isSelectedBy(owner.spec.selector, metadata.labels)
      )
        changed(objectKey(owner));
  }

  /** Milliseconds to wait at most until the local copy shows everything that was done, 0 when it does. */
  waitMs(owner: T): number {
    const uid = owner.metadata.uid ?? "";
    return this.#expectations.waitMs(uid, this.#pods.ownedBy(uid));
  }

  /** The pods that name an owner with this uid. */
  ownedBy(uid: string): Pod[] {
    return this.#pods.ownedBy(uid);
  }

  /** The owner's pods, after adopting and releasing. */
  async claim(owner: T, adopts: (pod: Pod) => boolean = isActive): Promise<Pod[]> {
    const { kube } = this.#deps;
    const { type: ownerType, finalizer } = this.#options;
    const index = this.#pods;
    return claimOwned({ kube, ownerType, owner, type: resources.pods, index, adopts, finalizer });
  }

  /**
   * In batches of doubling size, as slowStartBatch: a refusal is met by one request, not by one a pod.
   * @throws the first refusal
   */
  async createAll(owner: T, pods: readonly Pod[]): Promise<void> {
    const namespace = this.#deps.namespaces.get(owner.metadata.namespace ?? "");
    if (namespace && isDeleting(namespace)) return;
    let size = 1;
    for (let first = 0; first < pods.length; first += size, size *= 2) {
      const batch = pods.slice(first, first + size);
      const results = await Promise.allSettled(batch.map((pod) => this.#create(owner, pod)));
      const failed = results.find((result) => result.status === "rejected");
      if (failed) throw asError(failed.reason);
    }
  }

  async #create(owner: T, pod: Pod): Promise<void> {
    try {
      const created = await this.#deps.kube.create<Pod>(resources.pods, pod);
      if (!this.#deps.pods.get(objectKey(created)))
        this.#expectations.created(owner.metadata.uid ?? "", created.metadata.uid ?? "");
      this.record(owner, "SuccessfulCreate", this.#texts.created(owner, created.metadata.name ?? ""));
    } catch (error) {
      const text = this.#texts.createFailed(owner, pod.metadata.name ?? "", asError(error).message);
      this.record(owner, "FailedCreate", text);
      throw error;
    }
  }

  async removeAll(owner: T, pods: readonly Pod[]): Promise<void> {
    await Promise.all(pods.map((pod) => this.#remove(owner, pod)));
  }

  async #remove(owner: T, pod: Pod): Promise<void> {
    const { name = "", uid = "" } = pod.metadata;
    try {
      await this.#deps.kube.remove(resources.pods, objectAt(pod), { uid });
    } catch (error) {
      if (isKubeError(error, 404)) return;
      this.record(owner, "FailedDelete", this.#texts.deleteFailed(owner, name, asError(error).message));
      throw error;
    }
    const copy = this.#deps.pods.get(objectKey(pod));
    if (copy?.metadata.uid === uid && !isDeleting(copy))
      this.#expectations.deleted(owner.metadata.uid ?? "", uid);
    this.record(owner, "SuccessfulDelete", this.#texts.deleted(owner, name));
  }

  /** Records an Event about the owner; a warning when the reason has "Failed" in it. */
  record(owner: T, reason: string, message: string): void {
    const type = reason.includes("Failed") ? "Warning" : "Normal";
    this.events.record(this.#options.type, owner, { type, reason, message });
  }

  /** Ends the watches; Events that were recorded are written once this is disposed. */
  close(): void {
    this.#watches.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.events[Symbol.asyncDispose]();
  }
}
