import { isDeleting, type StatefulSet } from "#cloud/controllers/framework";
import { isReady, revisionOf, waitOf, type SetWorld } from "./plan.ts";

export interface NewSetStatus {
  readonly status: NonNullable<StatefulSet["status"]>;
  /** Milliseconds until the next ready pod has been ready for minReadySeconds. */
  readonly availableInMs: number | undefined;
}

/** The status of a StatefulSet; once all pods are of the new revision and ready it is the current one. */
export function setStatus(world: SetWorld, collisionCount: number): NewSetStatus {
  const { set, slots, condemned, currentRevision, updateRevision } = world;
  const pods = [...slots.flatMap(({ pod }) => pod ?? []), ...condemned];
  const live = pods.filter((pod) => !isDeleting(pod));
  const ofRevision = (revision: string): number => live.filter((pod) => revisionOf(pod) === revision).length;
  const waits = pods.map((pod) => waitOf(world, pod)).filter((wait) => wait !== undefined);
  const pending = waits.filter((wait) => wait > 0);
  const replicas = pods.length;
  const readyReplicas = pods.filter(isReady).length;
  const updatedReplicas = ofRevision(updateRevision);
  const isComplete =
    (set.spec.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate" &&
    updatedReplicas === replicas &&
    readyReplicas === replicas &&
    replicas === (set.spec.replicas ?? 1);
  return {
    status: {
      replicas,
      readyReplicas,
      availableReplicas: waits.length - pending.length,
      currentReplicas: isComplete ? updatedReplicas : ofRevision(currentRevision),
      updatedReplicas,
      currentRevision: isComplete ? updateRevision : currentRevision,
      updateRevision,
      observedGeneration: set.metadata.generation ?? 0,
      collisionCount,
    },
    availableInMs: pending.length > 0 ? Math.min(...pending) : undefined,
  };
}
