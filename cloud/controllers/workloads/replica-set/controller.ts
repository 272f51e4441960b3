import { ignoreMissing, isKubeError, objectAt, resources } from "#cloud/kube-client";
import {
  claimOwned,
  controlledBy,
  ControllerEvents,
  controllerOf,
  isDeleting,
  isSelectedBy,
  OwnedIndex,
  WorkQueue,
  type ControllerDeps,
  type ReplicaSet,
  type StartController,
} from "#cloud/controllers/framework";
import { asError } from "#shared/errors";
import { objectKey, type Pod } from "#shared/kube";
import { Expectations } from "./expectations.ts";
import { countPods, deletionOrder, isActive } from "./pods.ts";

/** Pods created or deleted in one run; BurstReplicas of replica_set.go. */
const burst = 500;
/** Timers take at most 31 bits of milliseconds, 24 days; minReadySeconds may be longer. */
const longestWaitMs = 86_400_000;

/** Keeps as many pods of each ReplicaSet as it specifies, as kube-controller-manager's pkg/controller/replicaset. */
export const startReplicaSetController: StartController = (deps) => {
  const controller = new ReplicaSetController(deps);
  return { [Symbol.asyncDispose]: () => controller.stop() };
};

class ReplicaSetController {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #events: ControllerEvents;
  readonly #expectations: Expectations;
  readonly #pods: OwnedIndex<Pod>;
  readonly #watch: Disposable;

  constructor(deps: ControllerDeps) {
    const { clock, log } = deps;
    this.#deps = deps;
    this.#events = new ControllerEvents(deps, "replicaset-controller");
    this.#expectations = new Expectations(clock);
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "replicasets", clock, log, reconcile });
    this.#pods = new OwnedIndex(deps.pods, {
      changed: (pod, old, removed) => this.#podChanged(pod, old, removed),
    });
    this.#watch = deps.replicaSets.watch({
      added: (replicaSet) => this.#queue.add(objectKey(replicaSet)),
      updated: (replicaSet) => this.#queue.add(objectKey(replicaSet)),
      removed: ({ metadata }) => this.#expectations.forget(metadata.uid ?? ""),
    });
  }

  async stop(): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#pods[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#events[Symbol.asyncDispose]();
  }

  #podChanged(pod: Pod, old: Pod | undefined, removed: boolean): void {
    if (removed) this.#expectations.removed(controllerOf(pod)?.uid ?? "", pod.metadata.uid ?? "");
    this.#addOwner(pod);
    if (old && controllerOf(old)?.uid !== controllerOf(pod)?.uid) this.#addOwner(old);
    if (!removed && !controllerOf(pod)) this.#addAdopters(pod);
  }

  #addAdopters(pod: Pod): void {
    for (const replicaSet of this.#deps.replicaSets.list())
      if (
        replicaSet.metadata.namespace === pod.metadata.namespace &&
        isSelectedBy(replicaSet.spec.selector, pod.metadata.labels)
      )
        this.#queue.add(objectKey(replicaSet));
  }

  #addOwner(pod: Pod): void {
    const owner = controllerOf(pod);
    if (owner?.kind === "ReplicaSet") this.#queue.add(`${pod.metadata.namespace ?? ""}/${owner.name}`);
  }

  async #reconcile(key: string): Promise<void> {
    const replicaSet = this.#deps.replicaSets.get(key);
    if (!replicaSet) return;
    const uid = replicaSet.metadata.uid ?? "";
    const wait = this.#expectations.waitMs(uid, this.#pods.ownedBy(uid));
    if (wait > 0) {
      this.#queue.addAfter(key, wait);
      return;
    }
    const claimed = await claimOwned({
      kube: this.#deps.kube,
      ownerType: resources.replicaSets,
      owner: replicaSet,
      type: resources.pods,
      index: this.#pods,
      adopts: isActive,
    });
    const pods = claimed.filter(isActive);
    let failure: unknown;
    try {
      if (!isDeleting(replicaSet)) await this.#correct(replicaSet, pods);
    } catch (error) {
      failure = error;
    }
    await this.#writeStatus(key, replicaSet, pods);
    if (failure !== undefined) throw asError(failure);
  }

  async #correct(replicaSet: ReplicaSet, pods: readonly Pod[]): Promise<void> {
    const difference = (replicaSet.spec.replicas ?? 1) - pods.length;
    if (difference > 0) await this.#createPods(replicaSet, Math.min(difference, burst));
    if (difference < 0)
      await Promise.all(
        deletionOrder(pods)
          .slice(0, Math.min(-difference, burst))
          .map((pod) => this.#deletePod(replicaSet, pod)),
      );
  }

  /** In batches of doubling size, as slowStartBatch: a refusal is met by one request, not by one a pod. */
  async #createPods(replicaSet: ReplicaSet, count: number): Promise<void> {
    const namespace = this.#deps.namespaces.get(replicaSet.metadata.namespace ?? "");
    if (namespace && isDeleting(namespace)) return;
    let batch = 1;
    for (let created = 0; created < count; batch *= 2) {
      const size = Math.min(batch, count - created);
      const results = await Promise.allSettled(
        Array.from({ length: size }, () => this.#createPod(replicaSet)),
      );
      const failed = results.find((result) => result.status === "rejected");
      if (failed) throw asError(failed.reason);
      created += size;
    }
  }

  async #createPod(replicaSet: ReplicaSet): Promise<void> {
    const uid = replicaSet.metadata.uid ?? "";
    try {
      const pod = await this.#deps.kube.create<Pod>(resources.pods, podOf(replicaSet));
      if (!this.#deps.pods.get(objectKey(pod))) this.#expectations.created(uid, pod.metadata.uid ?? "");
      this.#record(replicaSet, "SuccessfulCreate", `Created pod: ${pod.metadata.name ?? ""}`);
    } catch (error) {
      this.#record(replicaSet, "FailedCreate", `Error creating: ${asError(error).message}`);
      throw error;
    }
  }

  async #deletePod(replicaSet: ReplicaSet, pod: Pod): Promise<void> {
    const uid = pod.metadata.uid ?? "";
    try {
      await this.#deps.kube.remove(resources.pods, objectAt(pod), { uid });
    } catch (error) {
      if (isKubeError(error, 404)) return;
      this.#record(replicaSet, "FailedDelete", `Error deleting: ${asError(error).message}`);
      throw error;
    }
    const copy = this.#deps.pods.get(objectKey(pod));
    if (copy?.metadata.uid === uid && !isDeleting(copy))
      this.#expectations.deleted(replicaSet.metadata.uid ?? "", uid);
    this.#record(replicaSet, "SuccessfulDelete", `Deleted pod: ${pod.metadata.name ?? ""}`);
  }

  #record(replicaSet: ReplicaSet, reason: string, message: string): void {
    const type = reason.startsWith("Failed") ? "Warning" : "Normal";
    this.#events.record(resources.replicaSets, replicaSet, { type, reason, message });
  }

  async #writeStatus(key: string, replicaSet: ReplicaSet, pods: readonly Pod[]): Promise<void> {
    const { status, availableInMs } = countPods(replicaSet, pods, this.#deps.clock);
    if (availableInMs !== undefined) this.#queue.addAfter(key, Math.min(availableInMs, longestWaitMs));
    const old: Record<string, unknown> = replicaSet.status ?? {};
    const isSame = Object.entries(status).every(([field, value]) => (old[field] ?? 0) === value);
    if (isSame && old["replicas"] !== undefined) return;
    const patch = { metadata: { uid: replicaSet.metadata.uid }, status };
    const options = { type: "merge", subresource: "status" } as const;
    await ignoreMissing(this.#deps.kube.patch(resources.replicaSets, objectAt(replicaSet), patch, options));
  }
}

function podOf(replicaSet: ReplicaSet): Pod {
  const { metadata = {}, spec } = replicaSet.spec.template;
  const { name = "", namespace = "" } = replicaSet.metadata;
  const { labels, annotations, finalizers } = metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      generateName: `${name}-`,
      namespace,
      ...(labels && { labels }),
      ...(annotations && { annotations }),
      ...(finalizers && { finalizers }),
      ownerReferences: [controlledBy(resources.replicaSets, replicaSet)],
    },
    spec,
  };
}
