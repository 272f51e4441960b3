import { ignoreMissing, isKubeError, objectAt, resources, type KubeClient } from "#cloud/kube-client";
import {
  controllerOf,
  isDeleting,
  type ControllerEvents,
  type Deployment,
  type ReplicaSet,
} from "#cloud/controllers/framework";
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
  currentSize,
  desiredReplicas,
  maxReplicas,
  type DeploymentReplicaSets,
  type Resize,
} from "./rollout.ts";
import { templateHash } from "#cloud/controllers/workloads/pods";

/** Whether the current ReplicaSet existed, as conditions of the Deployment report it. */
export type CurrentOrigin = "created" | "found";

/**
 * Writes the ReplicaSets of Deployments: creates, annotates, resizes and removes them. What it returns is the state after
 * the write, which the informers show later. Follows pkg/controller/deployment/sync.go.
 */
export class ReplicaSetWriter {
  readonly #kube: KubeClient;
  readonly #events: ControllerEvents;

  constructor(kube: KubeClient, events: ControllerEvents) {
    this.#kube = kube;
    this.#events = events;
  }

  /** Makes sure that the ReplicaSet of the current template exists, with its revision. */
  async ensureCurrent(
    deployment: Deployment,
    replicaSets: DeploymentReplicaSets,
  ): Promise<{ readonly replicaSets: DeploymentReplicaSets; readonly origin: CurrentOrigin }> {
    const revision = nextRevision(replicaSets.old);
    const found = replicaSets.current;
    const current = found
      ? await this.#annotate(deployment, found, revision)
      : await this.#create(deployment, replicaSets, revision);
    await this.#writeRevision(deployment, revisionOf(current));
    return { replicaSets: { current, old: replicaSets.old }, origin: found ? "found" : "created" };
  }

  async #annotate(deployment: Deployment, current: ReplicaSet, revision: bigint): Promise<ReplicaSet> {
    const annotations = annotationsFor(deployment, current, revision);
    const minReadySeconds = deployment.spec.minReadySeconds ?? 0;
    const isSame =
      Bun.deepEquals(annotations, current.metadata.annotations ?? {}) &&
      (current.spec.minReadySeconds ?? 0) === minReadySeconds;
    if (isSame) return current;
    return this.#patch(current, { metadata: { annotations }, spec: { minReadySeconds } });
  }

  /** Ends with a name that is free: each salt gives another one. */
  async #create(
    deployment: Deployment,
    { old }: DeploymentReplicaSets,
    revision: bigint,
  ): Promise<ReplicaSet> {
    const replicas = currentSize(deployment, { current: undefined, old });
    const annotations = {
      ...annotationsFor(deployment, undefined, revision),
      ...sizeAnnotations(deployment),
    };
    for (let salt = 0; ; salt += 1) {
      const hash = templateHash(deployment.spec.template, salt);
      const replicaSet = newReplicaSet(deployment, { hash, replicas, annotations });
      const created = await this.#createOrFind(deployment, replicaSet);
      if (created) return created;
    }
  }

  /** Undefined when another object has the name. */
  async #createOrFind(deployment: Deployment, replicaSet: ReplicaSet): Promise<ReplicaSet | undefined> {
    try {
      const created = await this.#kube.create(resources.replicaSets, replicaSet);
      const { replicas = 0 } = created.spec;
      const message = `Scaled up replica set ${created.metadata.name ?? ""} to ${replicas}`;
      if (replicas > 0) this.#recordScaling(deployment, message);
      return created;
    } catch (error) {
      if (!isKubeError(error, 409) || error.reason !== "AlreadyExists") throw error;
      const existing = await this.#kube.find<ReplicaSet>(resources.replicaSets, objectAt(replicaSet));
      if (!existing) throw error;
      const isOurs = controllerOf(existing)?.uid === deployment.metadata.uid;
      return isOurs && makesSamePods(deployment, existing) ? existing : undefined;
    }
  }

  async #writeRevision(deployment: Deployment, revision: bigint): Promise<void> {
    const text = String(revision);
    if (deployment.metadata.annotations?.[revisionAnnotation] === text) return;
    const { uid } = deployment.metadata;
    const patch = { metadata: { uid, annotations: { [revisionAnnotation]: text } } };
    // Through the status: an annotation written to the Deployment itself would be a new generation of it.
    const options = { type: "merge", subresource: "status" } as const;
    await this.#kube.patch(resources.deployments, objectAt(deployment), patch, options);
  }

  /** Returns the ReplicaSets with their new sizes; the same object when nothing changes. */
  async resizeAll(
    deployment: Deployment,
    replicaSets: DeploymentReplicaSets,
    resizes: readonly Resize[],
  ): Promise<DeploymentReplicaSets> {
    const resized = new Map<ReplicaSet, ReplicaSet>();
    for (const { replicaSet, replicas } of resizes)
      resized.set(replicaSet, await this.#resize(deployment, replicaSet, replicas));
    if (resized.size === 0) return replicaSets;
    const { current, old } = replicaSets;
    return {
      current: current && (resized.get(current) ?? current),
      old: old.map((replicaSet) => resized.get(replicaSet) ?? replicaSet),
    };
  }

  async #resize(deployment: Deployment, replicaSet: ReplicaSet, replicas: number): Promise<ReplicaSet> {
    const annotations = sizeAnnotations(deployment);
    const before = replicaSet.spec.replicas ?? 1;
    const isSame = Object.entries(annotations).every(
      ([name, value]) => replicaSet.metadata.annotations?.[name] === value,
    );
    if (before === replicas && isSame) return replicaSet;
    const patched = await this.#patch(replicaSet, { metadata: { annotations }, spec: { replicas } });
    const { name = "" } = replicaSet.metadata;
    const direction = replicas > before ? "up" : "down";
    const message = `Scaled ${direction} replica set ${name} to ${replicas} from ${before}`;
    if (before !== replicas) this.#recordScaling(deployment, message);
    return patched;
  }

  /** Patches a ReplicaSet as it is known: one that has changed meanwhile is a conflict. */
  #patch(
    replicaSet: ReplicaSet,
    { metadata, spec }: { readonly metadata: object; readonly spec: object },
  ): Promise<ReplicaSet> {
    const { uid, resourceVersion } = replicaSet.metadata;
    const patch = { metadata: { ...metadata, uid, resourceVersion }, spec };
    return this.#kube.patch(resources.replicaSets, objectAt(replicaSet), patch, { type: "merge" });
  }

  /** Removes the oldest empty ReplicaSets beyond revisionHistoryLimit. */
  async removeSurplus(deployment: Deployment, { old }: DeploymentReplicaSets): Promise<void> {
    const limit = deployment.spec.revisionHistoryLimit ?? 10;
    const kept = old.filter((replicaSet) => !isDeleting(replicaSet));
    const surplus = kept
      .toSorted((a, b) => Number(revisionOf(a) - revisionOf(b)))
      .slice(0, Math.max(0, kept.length - limit));
    for (const replicaSet of surplus.filter(isEmpty)) {
      const { uid = "" } = replicaSet.metadata;
      const options = { uid, propagation: "Background" } as const;
      await ignoreMissing(this.#kube.remove(resources.replicaSets, objectAt(replicaSet), options));
    }
  }

  #recordScaling(deployment: Deployment, message: string): void {
    const text = { type: "Normal", reason: "ScalingReplicaSet", message } as const;
    this.#events.record(resources.deployments, deployment, text);
  }
}

function sizeAnnotations(deployment: Deployment): Record<string, string> {
  return {
    [desiredAnnotation]: String(desiredReplicas(deployment)),
    [maxAnnotation]: String(maxReplicas(deployment)),
  };
}

/** Has no pods, which its status knows of its latest generation. */
function isEmpty({ metadata, spec, status }: ReplicaSet): boolean {
  const isObserved = (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
  return spec.replicas === 0 && (status?.replicas ?? 0) === 0 && isObserved;
}
