import { ignoreMissing, objectAt, resources } from "#cloud/kube-client";
import {
  claimOwned,
  ControllerEvents,
  controllerOf,
  isDeleting,
  isSelectedBy,
  OwnedIndex,
  WorkQueue,
  type ControllerDeps,
  type Deployment,
  type ReplicaSet,
  type StartController,
} from "#cloud/controllers/framework";
import { objectKey, type Pod } from "#shared/kube";
import { ReplicaSetWriter, type CurrentOrigin } from "./replica-sets.ts";
import { makesSamePods } from "./revisions.ts";
import {
  byCreation,
  currentSize,
  isRecreate,
  isRescaled,
  rescale,
  shrinkOld,
  type DeploymentReplicaSets,
} from "./rollout.ts";
import { deploymentStatus, hasDeadline, isComplete } from "./status.ts";

/** Timers take at most 31 bits of milliseconds, 24 days; a progress deadline may be longer. */
const longestWaitMs = 86_400_000;
/** Until a progress deadline is checked again, at least: its clock has a resolution of one second. */
const shortestWaitMs = 1000;

/** Moves the ReplicaSets of each Deployment to its current template, as kube-controller-manager's pkg/controller/deployment. */
export const startDeploymentController: StartController = (deps) => {
  const controller = new DeploymentController(deps);
  return { [Symbol.asyncDispose]: () => controller.stop() };
};

class DeploymentController {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #events: ControllerEvents;
  readonly #writer: ReplicaSetWriter;
  readonly #replicaSets: OwnedIndex<ReplicaSet>;
  readonly #pods: OwnedIndex<Pod>;
  readonly #watches = new DisposableStack();

  constructor(deps: ControllerDeps) {
    const { clock, log } = deps;
    this.#deps = deps;
    this.#events = new ControllerEvents(deps, "deployment-controller");
    this.#writer = new ReplicaSetWriter(deps.kube, this.#events);
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "deployments", clock, log, reconcile });
    this.#replicaSets = this.#watches.use(new OwnedIndex(deps.replicaSets));
    this.#replicaSets.watch({
      changed: (replicaSet, old, removed) => this.#replicaSetChanged(replicaSet, old, removed),
    });
    this.#pods = deps.podsByOwner;
    this.#watches.use(this.#pods.watch({ changed: (pod, _old, removed) => this.#podChanged(pod, removed) }));
    this.#watches.use(
      deps.deployments.watch({
        added: (deployment) => this.#queue.add(objectKey(deployment)),
        updated: (deployment) => this.#queue.add(objectKey(deployment)),
      }),
    );
  }

  async stop(): Promise<void> {
    this.#watches.dispose();
    await this.#queue[Symbol.asyncDispose]();
    await this.#events[Symbol.asyncDispose]();
  }

  #replicaSetChanged(replicaSet: ReplicaSet, old: ReplicaSet | undefined, removed: boolean): void {
    this.#addOwner(replicaSet);
    if (old && controllerOf(old)?.uid !== controllerOf(replicaSet)?.uid) this.#addOwner(old);
    if (!removed && !controllerOf(replicaSet)) this.#addAdopters(replicaSet);
  }

  #addAdopters(replicaSet: ReplicaSet): void {
    for (const deployment of this.#deps.deployments.list())
      if (
        deployment.metadata.namespace === replicaSet.metadata.namespace &&
        isSelectedBy(deployment.spec.selector, replicaSet.metadata.labels)
      )
        this.#queue.add(objectKey(deployment));
  }

  #addOwner(replicaSet: ReplicaSet): void {
    const owner = controllerOf(replicaSet);
    if (owner?.kind === "Deployment") this.#queue.add(`${replicaSet.metadata.namespace ?? ""}/${owner.name}`);
  }

  /** Recreate waits until the last old pod is deleted, of which no ReplicaSet notifies. */
  #podChanged(pod: Pod, removed: boolean): void {
    const owner = controllerOf(pod);
    if (!removed || owner?.kind !== "ReplicaSet") return;
    const replicaSet = this.#deps.replicaSets.get(`${pod.metadata.namespace ?? ""}/${owner.name}`);
    const deploymentOwner = replicaSet && controllerOf(replicaSet);
    if (!deploymentOwner) return;
    const deployment = this.#deps.deployments.get(`${pod.metadata.namespace ?? ""}/${deploymentOwner.name}`);
    if (deployment && isRecreate(deployment)) this.#queue.add(objectKey(deployment));
  }

  async #reconcile(key: string): Promise<void> {
    const deployment = this.#deps.deployments.get(key);
    if (!deployment) return;
    const replicaSets = await this.#claimReplicaSets(deployment);
    if (isDeleting(deployment)) return this.#writeStatus(deployment, replicaSets);
    if (deployment.spec.paused || isRescaled(deployment, replicaSets))
      return this.#scale(deployment, replicaSets);
    if (isRecreate(deployment)) return this.#recreate(deployment, replicaSets);
    return this.#roll(deployment, replicaSets);
  }

  async #claimReplicaSets(deployment: Deployment): Promise<DeploymentReplicaSets> {
    const claimed = await claimOwned({
      kube: this.#deps.kube,
      ownerType: resources.deployments,
      owner: deployment,
      type: resources.replicaSets,
      index: this.#replicaSets,
      adopts: () => true,
    });
    const current = byCreation(claimed).find((replicaSet) => makesSamePods(deployment, replicaSet));
    return { current, old: claimed.filter((replicaSet) => replicaSet !== current) };
  }

  async #scale(deployment: Deployment, replicaSets: DeploymentReplicaSets): Promise<void> {
    const ensured = replicaSets.current
      ? (await this.#writer.ensureCurrent(deployment, replicaSets)).replicaSets
      : replicaSets;
    const scaled = await this.#writer.resizeAll(deployment, ensured, rescale(deployment, ensured));
    if (deployment.spec.paused) await this.#writer.removeSurplus(deployment, scaled);
    await this.#writeStatus(deployment, scaled);
  }

  /** One step a run: first the current ReplicaSet grows as far as it may, then the old ones shrink. */
  async #roll(deployment: Deployment, before: DeploymentReplicaSets): Promise<void> {
    const { replicaSets, origin } = await this.#writer.ensureCurrent(deployment, before);
    const grown = await this.#growCurrent(deployment, replicaSets);
    const resizes = grown === replicaSets ? shrinkOld(deployment, grown) : [];
    await this.#finish(deployment, await this.#writer.resizeAll(deployment, grown, resizes), origin);
  }

  async #recreate(deployment: Deployment, before: DeploymentReplicaSets): Promise<void> {
    const resizes = before.old
      .filter(({ spec }) => spec.replicas !== 0)
      .map((replicaSet) => ({ replicaSet, replicas: 0 }));
    const shrunk = await this.#writer.resizeAll(deployment, before, resizes);
    if (resizes.length > 0 || this.#haveRunningPods(shrunk.old)) {
      await this.#writeStatus(deployment, shrunk);
      return;
    }
    const { replicaSets, origin } = await this.#writer.ensureCurrent(deployment, shrunk);
    await this.#finish(deployment, await this.#growCurrent(deployment, replicaSets), origin);
  }

  #haveRunningPods(replicaSets: readonly ReplicaSet[]): boolean {
    return replicaSets.some(({ metadata }) =>
      this.#pods
        .ownedBy(metadata.uid ?? "")
        .some(({ status }) => status?.phase !== "Succeeded" && status?.phase !== "Failed"),
    );
  }

  async #growCurrent(
    deployment: Deployment,
    replicaSets: DeploymentReplicaSets,
  ): Promise<DeploymentReplicaSets> {
    const { current } = replicaSets;
    if (!current) return replicaSets;
    const replicas = currentSize(deployment, replicaSets);
    if (replicas === current.spec.replicas) return replicaSets;
    return this.#writer.resizeAll(deployment, replicaSets, [{ replicaSet: current, replicas }]);
  }

  async #finish(
    deployment: Deployment,
    replicaSets: DeploymentReplicaSets,
    origin: CurrentOrigin,
  ): Promise<void> {
    const { status } = deploymentStatus(deployment, replicaSets, { origin, nowMs: this.#deps.clock.nowMs() });
    if (isComplete(deployment, status)) await this.#writer.removeSurplus(deployment, replicaSets);
    await this.#writeStatus(deployment, replicaSets, origin);
  }

  async #writeStatus(
    deployment: Deployment,
    replicaSets: DeploymentReplicaSets,
    origin?: CurrentOrigin,
  ): Promise<void> {
    const { clock, kube } = this.#deps;
    const run = { origin, nowMs: clock.nowMs() };
    const { status, deadlineInMs } = deploymentStatus(deployment, replicaSets, run);
    if (deadlineInMs !== undefined && hasDeadline(deployment)) {
      const waitMs = Math.min(longestWaitMs, Math.max(deadlineInMs, shortestWaitMs));
      this.#queue.addAfter(objectKey(deployment), waitMs);
    }
    const old: Record<string, unknown> = deployment.status ?? {};
    const isSame = Object.entries(status).every(([field, value]) => Bun.deepEquals(old[field] ?? 0, value));
    if (isSame) return;
    const patch = { metadata: { uid: deployment.metadata.uid }, status };
    const options = { type: "merge", subresource: "status" } as const;
    await ignoreMissing(kube.patch(resources.deployments, objectAt(deployment), patch, options));
  }
}
