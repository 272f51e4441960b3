import { ignoreMissing, objectAt, resources } from "#cloud/kube-client";
import {
  isDeleting,
  WorkQueue,
  type ControllerDeps,
  type ReplicaSet,
  type StartController,
} from "#cloud/controllers/framework";
import { isActive, OwnedPods, podFromTemplate } from "#cloud/controllers/workloads/pods";
import { asError } from "#shared/errors";
import type { Pod } from "#shared/kube";
import { countPods, deletionOrder } from "./pods.ts";

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
  readonly #pods: OwnedPods<ReplicaSet>;

  constructor(deps: ControllerDeps) {
    const { clock, log } = deps;
    this.#deps = deps;
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "replicasets", clock, log, reconcile });
    this.#pods = new OwnedPods(deps, {
      type: resources.replicaSets,
      owners: deps.replicaSets,
      component: "replicaset-controller",
      changed: (key) => this.#queue.add(key),
    });
  }

  async stop(): Promise<void> {
    this.#pods.close();
    await this.#queue[Symbol.asyncDispose]();
    await this.#pods[Symbol.asyncDispose]();
  }

  async #reconcile(key: string): Promise<void> {
    const replicaSet = this.#deps.replicaSets.get(key);
    if (!replicaSet) return;
    const wait = this.#pods.waitMs(replicaSet);
    if (wait > 0) {
      this.#queue.addAfter(key, wait);
      return;
    }
    const pods = (await this.#pods.claim(replicaSet)).filter(isActive);
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
    const pod = podFromTemplate(resources.replicaSets, replicaSet);
    if (difference > 0)
      await this.#pods.createAll(replicaSet, Array<Pod>(Math.min(difference, burst)).fill(pod));
    if (difference < 0)
      await this.#pods.removeAll(replicaSet, deletionOrder(pods).slice(0, Math.min(-difference, burst)));
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
