import { KubeError, resources } from "#cloud/kube-client";
import { asError } from "#shared/errors";
import { objectKey, type Pod } from "#shared/kube";
import type { ControllerDeps, StartController } from "#cloud/controllers/framework";
import { EventRecorder } from "#cloud/controllers/framework";
import { Expectations } from "./expectations.ts";
import {
  claim,
  controlledBy,
  controllerOf,
  isDeleting,
  isSelectedBy,
  OwnedIndex,
  placeOf,
} from "#cloud/controllers/framework";
import { countPods, inOrderOfDeletion, isActive } from "./pods.ts";
import { WorkQueue } from "#cloud/controllers/framework";
import type { ReplicaSet } from "#cloud/controllers/framework";

const burst = 500;
/** Timers take no more than 31 bits. */
const longestWaitMs = 86_400_000;

/** Keeps as many pods of each ReplicaSet as it asks for. */
export const startReplicaSetController: StartController = (deps) => {
  const controller = new ReplicaSetController(deps);
  return { [Symbol.asyncDispose]: () => controller.stop() };
};

class ReplicaSetController {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #events: EventRecorder;
  readonly #expectations: Expectations;
  readonly #pods: OwnedIndex<Pod>;
  readonly #watch: Disposable;

  constructor(deps: ControllerDeps) {
    const { clock, log } = deps;
    this.#deps = deps;
    this.#events = new EventRecorder(deps, "replicaset-controller");
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
    if (removed) this.#expectations.gone(controllerOf(pod)?.uid ?? "", pod.metadata.uid ?? "");
    this.#wakeOwner(pod);
    if (old && controllerOf(old)?.uid !== controllerOf(pod)?.uid) this.#wakeOwner(old);
    if (!removed && !controllerOf(pod)) this.#wakeAdopters(pod);
  }

  #wakeAdopters(pod: Pod): void {
    for (const replicaSet of this.#deps.replicaSets.list())
      if (
        replicaSet.metadata.namespace === pod.metadata.namespace &&
        isSelectedBy(replicaSet.spec.selector, pod.metadata.labels)
      )
        this.#queue.add(objectKey(replicaSet));
  }

  #wakeOwner(pod: Pod): void {
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
    const claimed = await claim({
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
        inOrderOfDeletion(pods)
          .slice(0, Math.min(-difference, burst))
          .map((pod) => this.#deletePod(replicaSet, pod)),
      );
  }

  /** In batches of growing size, so that a refusal is met once and not by every pod. */
  async #createPods(replicaSet: ReplicaSet, count: number): Promise<void> {
    const namespace = this.#deps.namespaces.get(replicaSet.metadata.namespace ?? "");
    if (namespace && isDeleting(namespace)) return;
    let batch = 1;
    for (let made = 0; made < count; batch *= 2) {
      const size = Math.min(batch, count - made);
      const results = await Promise.allSettled(
        Array.from({ length: size }, () => this.#createPod(replicaSet)),
      );
      const failed = results.find((result) => result.status === "rejected");
      if (failed) throw asError(failed.reason);
      made += size;
    }
  }

  async #createPod(replicaSet: ReplicaSet): Promise<void> {
    const uid = replicaSet.metadata.uid ?? "";
    const about = { ...replicaSet, kind: "ReplicaSet" };
    try {
      const pod = await this.#deps.kube.create<Pod>(resources.pods, podOf(replicaSet));
      if (!this.#deps.pods.get(objectKey(pod))) this.#expectations.created(uid, pod.metadata.uid ?? "");
      const message = `Created pod: ${pod.metadata.name ?? ""}`;
      this.#events.record(about, { type: "Normal", reason: "SuccessfulCreate", message });
    } catch (error) {
      const message = `Error creating: ${asError(error).message}`;
      this.#events.record(about, { type: "Warning", reason: "FailedCreate", message });
      throw error;
    }
  }

  async #deletePod(replicaSet: ReplicaSet, pod: Pod): Promise<void> {
    const uid = pod.metadata.uid ?? "";
    const about = { ...replicaSet, kind: "ReplicaSet" };
    try {
      await this.#deps.kube.remove(resources.pods, placeOf(pod), { uid });
    } catch (error) {
      if (error instanceof KubeError && error.httpStatus === 404) return;
      const message = `Error deleting: ${asError(error).message}`;
      this.#events.record(about, { type: "Warning", reason: "FailedDelete", message });
      throw error;
    }
    const copy = this.#deps.pods.get(objectKey(pod));
    if (copy?.metadata.uid === uid && !isDeleting(copy))
      this.#expectations.deleted(replicaSet.metadata.uid ?? "", uid);
    const message = `Deleted pod: ${pod.metadata.name ?? ""}`;
    this.#events.record(about, { type: "Normal", reason: "SuccessfulDelete", message });
  }

  async #writeStatus(key: string, replicaSet: ReplicaSet, pods: readonly Pod[]): Promise<void> {
    const { status, againInMs } = countPods(replicaSet, pods, this.#deps.clock);
    if (againInMs !== undefined) this.#queue.addAfter(key, Math.min(againInMs, longestWaitMs));
    const old: Record<string, unknown> = replicaSet.status ?? {};
    const isSame = Object.entries(status).every(([field, value]) => (old[field] ?? 0) === value);
    if (isSame && old["replicas"] !== undefined) return;
    const patch = { metadata: { uid: replicaSet.metadata.uid }, status };
    try {
      await this.#deps.kube.patch(resources.replicaSets, placeOf(replicaSet), patch, {
        type: "merge",
        subresource: "status",
      });
    } catch (error) {
      if (!(error instanceof KubeError && error.httpStatus === 404)) throw error;
    }
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
