import type { DaemonSet } from "#cloud/controllers/framework";
import { availableInMs } from "#cloud/controllers/workloads/pods";
import type { DaemonWorld } from "./plan.ts";

export interface NewDaemonSetStatus {
  readonly status: NonNullable<DaemonSet["status"]>;
  /** Milliseconds until the next ready pod has been ready for minReadySeconds. */
  readonly availableInMs: number | undefined;
}

/** The status of a DaemonSet, counted over the oldest pod of each node; as updateDaemonSetStatus. */
export function daemonSetStatus(world: DaemonWorld, collisionCount: number): NewDaemonSetStatus {
  const { daemonSet, nodes, isUpdated, nowMs } = world;
  const desired = nodes.filter(({ shouldRun }) => shouldRun);
  const oldest = desired.flatMap(({ pods }) => pods.slice(0, 1));
  const waits = oldest
    .map((pod) => availableInMs(pod, daemonSet.spec.minReadySeconds ?? 0, nowMs))
    .filter((wait) => wait !== undefined);
  const pending = waits.filter((wait) => wait > 0);
  const numberAvailable = waits.length - pending.length;
  return {
    status: {
      currentNumberScheduled: oldest.length,
      numberMisscheduled: nodes.filter(({ shouldRun, pods }) => !shouldRun && pods.length > 0).length,
      desiredNumberScheduled: desired.length,
      numberReady: waits.length,
      updatedNumberScheduled: oldest.filter(isUpdated).length,
      numberAvailable,
      numberUnavailable: desired.length - numberAvailable,
      observedGeneration: daemonSet.metadata.generation ?? 0,
      ...(collisionCount > 0 && { collisionCount }),
    },
    availableInMs: pending.length > 0 ? Math.min(...pending) : undefined,
  };
}
