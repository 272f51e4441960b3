import { KubeError, resources } from "#cloud/kube-client";
import { objectKey, type Pod } from "#shared/kube";
import type { ControllerDeps, StartController } from "#cloud/controllers/framework";
import {
  annotationsFor,
  desiredAnnotation,
  makesSamePods,
  maxAnnotation,
  newReplicaSet,
  nextRevision,
  revisionAnnotation,
  revisionOf,
} from "./revisions.ts";
import {
  byCreation,
  currentSize,
  isRecreate,
  isRescaled,
  maxReplicas,
  rescale,
  shrinkOld,
  wanted,
  type Family,
  type Resize,
} from "./rollout.ts";
import { hasDeadline, isComplete, statusOf, type Step } from "./status.ts";
import { templateHash } from "./template.ts";
import { EventRecorder } from "#cloud/controllers/framework";
import {
  claim,
  controllerOf,
  isDeleting,
  isSelectedBy,
  OwnedIndex,
  placeOf,
} from "#cloud/controllers/framework";
import { WorkQueue } from "#cloud/controllers/framework";
import type { Deployment, ReplicaSet } from "#cloud/controllers/framework";

/** Timers take no more than 31 bits. */
const longestWaitMs = 86_400_000;

/** Brings each Deployment's ReplicaSets from one template to the next. */
export const startDeploymentController: StartController = (deps) => {
  const controller = new DeploymentController(deps);
  return { [Symbol.asyncDispose]: () => controller.stop() };
};

class DeploymentController {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #events: EventRecorder;
  readonly #replicaSets: OwnedIndex<ReplicaSet>;
  readonly #pods: OwnedIndex<Pod>;
  readonly #watch: Disposable;

  constructor(deps: ControllerDeps) {
    const { clock, log } = deps;
    this.#deps = deps;
    this.#events = new EventRecorder(deps, "deployment-controller");
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "deployments", clock, log, reconcile });
    this.#replicaSets = new OwnedIndex(deps.replicaSets, {
      changed: (replicaSet, old, removed) => this.#replicaSetChanged(replicaSet, old, removed),
    });
    this.#pods = new OwnedIndex(deps.pods, {
      changed: (pod, _old, removed) => this.#podChanged(pod, removed),
    });
    this.#watch = deps.deployments.watch({
      added: (deployment) => this.#queue.add(objectKey(deployment)),
      updated: (deployment) => this.#queue.add(objectKey(deployment)),
    });
  }

  async stop(): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#pods[Symbol.dispose]();
    this.#replicaSets[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#events[Symbol.asyncDispose]();
  }

  #replicaSetChanged(replicaSet: ReplicaSet, old: ReplicaSet | undefined, removed: boolean): void {
    this.#wakeOwner(replicaSet);
    if (old && controllerOf(old)?.uid !== controllerOf(replicaSet)?.uid) this.#wakeOwner(old);
    if (!removed && !controllerOf(replicaSet)) this.#wakeAdopters(replicaSet);
  }

  #wakeAdopters(replicaSet: ReplicaSet): void {
    for (const deployment of this.#deps.deployments.list())
      if (
        deployment.metadata.namespace === replicaSet.metadata.namespace &&
        isSelectedBy(deployment.spec.selector, replicaSet.metadata.labels)
      )
        this.#queue.add(objectKey(deployment));
  }

  #wakeOwner(replicaSet: ReplicaSet): void {
    const owner = controllerOf(replicaSet);
    if (owner?.kind === "Deployment") this.#queue.add(`${replicaSet.metadata.namespace ?? ""}/${owner.name}`);
  }

  /** Recreate waits for the last old pod to be gone, which no ReplicaSet tells. */
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
    const claimed = await claim({
      kube: this.#deps.kube,
      ownerType: resources.deployments,
      owner: deployment,
      type: resources.replicaSets,
      index: this.#replicaSets,
      adopts: () => true,
    });
    const current = byCreation(claimed).find((one) => makesSamePods(deployment, one));
    const family: Family = { current, old: claimed.filter((one) => one !== current) };
    if (isDeleting(deployment)) return this.#writeStatus(deployment, family, undefined);
    if (deployment.spec.paused || isRescaled(deployment, family)) return this.#scale(deployment, family);
    if (isRecreate(deployment)) return this.#recreate(deployment, family);
    return this.#roll(deployment, family);
  }

  async #scale(deployment: Deployment, family: Family): Promise<void> {
    const synced = family.current ? (await this.#current(deployment, family)).family : family;
    const scaled = await this.#resizeAll(deployment, synced, rescale(deployment, synced));
    if (deployment.spec.paused) await this.#cleanUp(deployment, scaled);
    await this.#writeStatus(deployment, scaled, undefined);
  }

  async #roll(deployment: Deployment, before: Family): Promise<void> {
    const { family, step } = await this.#current(deployment, before);
    const grown = await this.#growCurrent(deployment, family);
    const scaled = await this.#resizeAll(
      deployment,
      grown,
      grown === family ? shrinkOld(deployment, grown) : [],
    );
    await this.#finish(deployment, scaled, step);
  }

  async #recreate(deployment: Deployment, before: Family): Promise<void> {
    const shrink = before.old
      .filter(({ spec }) => spec.replicas !== 0)
      .map((replicaSet) => ({ replicaSet, replicas: 0 }));
    const shrunk = await this.#resizeAll(deployment, before, shrink);
    if (shrink.length > 0 || this.#hasPods(shrunk.old)) {
      await this.#writeStatus(deployment, shrunk, undefined);
      return;
    }
    const { family, step } = await this.#current(deployment, shrunk);
    await this.#finish(deployment, await this.#growCurrent(deployment, family), step);
  }

  #hasPods(replicaSets: readonly ReplicaSet[]): boolean {
    return replicaSets.some(({ metadata }) =>
      this.#pods
        .ownedBy(metadata.uid ?? "")
        .some(({ status }) => status?.phase !== "Succeeded" && status?.phase !== "Failed"),
    );
  }

  async #finish(deployment: Deployment, family: Family, step: Step): Promise<void> {
    const { status } = statusOf(deployment, family, { step, nowMs: this.#deps.clock.nowMs() });
    if (isComplete(deployment, status)) await this.#cleanUp(deployment, family);
    await this.#writeStatus(deployment, family, step);
  }

  async #growCurrent(deployment: Deployment, family: Family): Promise<Family> {
    const { current } = family;
    if (!current) return family;
    const replicas = currentSize(deployment, family);
    if (replicas === current.spec.replicas) return family;
    return this.#resizeAll(deployment, family, [{ replicaSet: current, replicas }]);
  }

  /** The new ReplicaSet as it has to be annotated, made when there is none. */
  async #current(deployment: Deployment, family: Family): Promise<{ family: Family; step: Step }> {
    const revision = nextRevision(family.old);
    const found = family.current;
    const current = found
      ? await this.#annotate(deployment, found, revision)
      : await this.#create(deployment, family, revision);
    await this.#showRevision(deployment, revisionOf(current));
    return { family: { current, old: family.old }, step: found ? "found" : "created" };
  }

  async #annotate(deployment: Deployment, current: ReplicaSet, revision: number): Promise<ReplicaSet> {
    const annotations = annotationsFor(deployment, current, revision);
    const minReadySeconds = deployment.spec.minReadySeconds ?? 0;
    const isSame =
      Bun.deepEquals(annotations, current.metadata.annotations ?? {}) &&
      (current.spec.minReadySeconds ?? 0) === minReadySeconds;
    if (isSame) return current;
    return this.#patch(current, { metadata: { annotations }, spec: { minReadySeconds } });
  }

  async #create(deployment: Deployment, family: Family, revision: number): Promise<ReplicaSet> {
    const replicas = currentSize(deployment, { current: undefined, old: family.old });
    const annotations = { ...annotationsFor(deployment, undefined, revision), ...this.#sizes(deployment) };
    for (let salt = 0; ; salt += 1) {
      const hash = templateHash(deployment.spec.template, salt);
      const wish = newReplicaSet(deployment, { hash, replicas, annotations });
      const made = await this.#createOrFind(deployment, wish);
      if (made) return made;
    }
  }

  /** Undefined when the name belongs to something else. */
  async #createOrFind(deployment: Deployment, wish: ReplicaSet): Promise<ReplicaSet | undefined> {
    const { kube } = this.#deps;
    try {
      const made = await kube.create(resources.replicaSets, wish);
      const text = `Scaled up replica set ${made.metadata.name ?? ""} to ${made.spec.replicas ?? 0}`;
      if (made.spec.replicas) this.#tell(deployment, "ScalingReplicaSet", text);
      return made;
    } catch (error) {
      if (!(error instanceof KubeError) || error.reason !== "AlreadyExists") throw error;
      const there = await kube.find<ReplicaSet>(resources.replicaSets, placeOf(wish));
      if (!there) throw error;
      const isOurs = controllerOf(there)?.uid === deployment.metadata.uid;
      return isOurs && makesSamePods(deployment, there) ? there : undefined;
    }
  }

  async #showRevision(deployment: Deployment, revision: number): Promise<void> {
    const text = String(revision);
    if (deployment.metadata.annotations?.[revisionAnnotation] === text) return;
    const { uid } = deployment.metadata;
    const patch = { metadata: { uid, annotations: { [revisionAnnotation]: text } } };
    // By way of the status: annotations written to a Deployment itself count as a new generation of it.
    const options = { type: "merge", subresource: "status" } as const;
    await this.#deps.kube.patch(resources.deployments, placeOf(deployment), patch, options);
  }

  #sizes(deployment: Deployment): Record<string, string> {
    return {
      [desiredAnnotation]: String(wanted(deployment)),
      [maxAnnotation]: String(maxReplicas(deployment)),
    };
  }

  /** Gives ReplicaSets their sizes; returns the family with them. */
  async #resizeAll(deployment: Deployment, family: Family, resizes: readonly Resize[]): Promise<Family> {
    const changed = new Map<ReplicaSet, ReplicaSet>();
    for (const { replicaSet, replicas } of resizes)
      changed.set(replicaSet, await this.#resize(deployment, replicaSet, replicas));
    if (changed.size === 0) return family;
    const { current, old } = family;
    return {
      current: current && (changed.get(current) ?? current),
      old: old.map((one) => changed.get(one) ?? one),
    };
  }

  async #resize(deployment: Deployment, replicaSet: ReplicaSet, replicas: number): Promise<ReplicaSet> {
    const annotations = this.#sizes(deployment);
    const before = replicaSet.spec.replicas ?? 1;
    const isSame = Object.entries(annotations).every(
      ([name, value]) => replicaSet.metadata.annotations?.[name] === value,
    );
    if (before === replicas && isSame) return replicaSet;
    const patched = await this.#patch(replicaSet, { metadata: { annotations }, spec: { replicas } });
    const name = replicaSet.metadata.name ?? "";
    const verb = replicas > before ? "up" : "down";
    if (before !== replicas)
      this.#tell(
        deployment,
        "ScalingReplicaSet",
        `Scaled ${verb} replica set ${name} to ${replicas} from ${before}`,
      );
    return patched;
  }

  /** Changes a ReplicaSet unless it is not what we know of it. */
  #patch(
    replicaSet: ReplicaSet,
    { metadata, spec }: { readonly metadata: object; readonly spec: object },
  ): Promise<ReplicaSet> {
    const { uid, resourceVersion } = replicaSet.metadata;
    const patch = { metadata: { ...metadata, uid, resourceVersion }, spec };
    return this.#deps.kube.patch(resources.replicaSets, placeOf(replicaSet), patch, { type: "merge" });
  }

  /** Removes the oldest empty ReplicaSets beyond the history that is kept. */
  async #cleanUp(deployment: Deployment, { old }: Family): Promise<void> {
    const limit = deployment.spec.revisionHistoryLimit ?? 10;
    const kept = old.filter((replicaSet) => !isDeleting(replicaSet));
    const surplus = kept
      .sort((a, b) => revisionOf(a) - revisionOf(b))
      .slice(0, Math.max(0, kept.length - limit));
    for (const replicaSet of surplus) {
      const { metadata, spec, status } = replicaSet;
      const isSeen = (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
      if (spec.replicas !== 0 || (status?.replicas ?? 0) !== 0 || !isSeen) continue;
      await this.#remove(replicaSet);
    }
  }

  async #remove(replicaSet: ReplicaSet): Promise<void> {
    const { uid = "" } = replicaSet.metadata;
    try {
      await this.#deps.kube.remove(resources.replicaSets, placeOf(replicaSet), {
        uid,
        propagation: "Background",
      });
    } catch (error) {
      if (!(error instanceof KubeError && error.httpStatus === 404)) throw error;
    }
  }

  async #writeStatus(deployment: Deployment, family: Family, step: Step): Promise<void> {
    const { clock, kube } = this.#deps;
    const { status, againInMs } = statusOf(deployment, family, { step, nowMs: clock.nowMs() });
    if (againInMs !== undefined && hasDeadline(deployment))
      this.#queue.addAfter(objectKey(deployment), Math.min(longestWaitMs, Math.max(againInMs, 1000)));
    const old: Record<string, unknown> = deployment.status ?? {};
    const isSame = Object.entries(status).every(([field, value]) => Bun.deepEquals(old[field] ?? 0, value));
    if (isSame) return;
    const patch = { metadata: { uid: deployment.metadata.uid }, status };
    const options = { type: "merge", subresource: "status" } as const;
    try {
      await kube.patch(resources.deployments, placeOf(deployment), patch, options);
    } catch (error) {
      if (!(error instanceof KubeError && error.httpStatus === 404)) throw error;
    }
  }

  #tell(deployment: Deployment, reason: string, message: string): void {
    this.#events.record({ ...deployment, kind: "Deployment" }, { type: "Normal", reason, message });
  }
}
