import { ignoreMissing, objectAt, type Informer } from "#cloud/kube-client";
import {
  isDeleting,
  WorkQueue,
  type ControllerDeps,
  type ReplicaSet,
  type StartController,
} from "#cloud/controllers/framework";
import { deletionOrder, isActive, OwnedPods, podFromTemplate } from "#cloud/controllers/workloads/pods";
import { asError } from "#shared/errors";
import type { Pod } from "#shared/kube";
import { replicaSetKind, replicationControllerKind, type ReplicaKind } from "./kinds.ts";
import { countPods, withFailure } from "./pods.ts";

/** Pods created or deleted in one run; BurstReplicas of replica_set.go. */
const burst = 500;
/** Timers take at most 31 bits of milliseconds, 24 days; minReadySeconds may be longer. */
const longestWaitMs = 86_400_000;

/** Keeps as many pods of each ReplicaSet as it specifies, as kube-controller-manager's pkg/controller/replicaset. */
export const startReplicaSetController: StartController = (deps) => start(deps, replicaSetKind);

/** The same for ReplicationControllers. */
export const startReplicationController: StartController = (deps) => start(deps, replicationControllerKind);

function start(deps: ControllerDeps, kind: ReplicaKind): AsyncDisposable {
  const controller = new ReplicaSetController(deps, kind);
  return { [Symbol.asyncDispose]: () => controller.stop() };
}

class ReplicaSetController {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #kind: ReplicaKind;
  readonly #owners: Informer<ReplicaSet>;
  readonly #pods: OwnedPods<ReplicaSet>;

  constructor(deps: ControllerDeps, kind: ReplicaKind) {
    const { clock, log } = deps;
    this.#deps = deps;
    this.#kind = kind;
    this.#owners = kind.owners(deps);
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: kind.type.plural, clock, log, reconcile });
    const changed = (key: string): void => this.#queue.add(key);
    this.#pods = new OwnedPods(deps, { ...kind, owners: this.#owners, changed });
  }

  async stop(): Promise<void> {
    this.#pods.close();
    await this.#queue[Symbol.asyncDispose]();
    await this.#pods[Symbol.asyncDispose]();
  }

  async #reconcile(key: string): Promise<void> {
    const replicaSet = this.#owners.get(key);
    if (!replicaSet) return;
    const wait = this.#pods.waitMs(replicaSet);
    if (wait > 0) {
      this.#queue.addAfter(key, wait);
      return;
    }
    const pods = (await this.#pods.claim(replicaSet)).filter(isActive);
    let failure: Error | undefined;
    try {
      if (!isDeleting(replicaSet)) await this.#correct(replicaSet, pods);
    } catch (error) {
      failure = asError(error);
    }
    await this.#writeStatus(key, { replicaSet, pods, failure });
    if (failure) throw failure;
  }

  async #correct(replicaSet: ReplicaSet, pods: readonly Pod[]): Promise<void> {
    const difference = (replicaSet.spec.replicas ?? 1) - pods.length;
    const pod = podFromTemplate(this.#kind.type, replicaSet);
    if (difference > 0)
      await this.#pods.createAll(replicaSet, Array<Pod>(Math.min(difference, burst)).fill(pod));
    if (difference < 0)
      await this.#pods.removeAll(replicaSet, deletionOrder(pods).slice(0, Math.min(-difference, burst)));
  }

  async #writeStatus(key: string, { replicaSet, pods, failure }: ReplicaRun): Promise<void> {
    const { clock, kube } = this.#deps;
    const { status, availableInMs } = countPods(replicaSet, pods, clock);
    if (availableInMs !== undefined) this.#queue.addAfter(key, Math.min(availableInMs, longestWaitMs));
    const old: Record<string, unknown> = replicaSet.status ?? {};
    const isSame = Object.entries(status).every(([field, value]) => (old[field] ?? 0) === value);
    const conditions = withFailure(replicaSet, pods.length, { failure, nowMs: clock.nowMs() });
    if (isSame && old["replicas"] !== undefined && conditions === undefined) return;
    const patch = {
      metadata: { uid: replicaSet.metadata.uid },
      status: { ...status, ...(conditions && { conditions }) },
    };
    const options = { type: "merge", subresource: "status" } as const;
    await ignoreMissing(kube.patch(this.#kind.type, objectAt(replicaSet), patch, options));
  }
}

/** What one run has found and done. */
interface ReplicaRun {
  readonly replicaSet: ReplicaSet;
  readonly pods: readonly Pod[];
  /** Why pods could not be created or deleted. */
  readonly failure: Error | undefined;
}
