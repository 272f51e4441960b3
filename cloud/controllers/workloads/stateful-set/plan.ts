import { isDeleting, type StatefulSet } from "#cloud/controllers/framework";
import { availableInMs, isFinished } from "#cloud/controllers/workloads/pods";
import type { Pod } from "#shared/kube";
import { ordinalOf, revisionLabel } from "./stateful-pod.ts";

/*
 * What is to be done for a StatefulSet, decided from its pods. Follows pkg/controller/statefulset/stateful_set_control.go of
 * Kubernetes: with OrderedReady one step a run, and none while a pod with a lower number is not available.
 */

export interface Slot {
  readonly ordinal: number;
  readonly pod: Pod | undefined;
}

export interface SetWorld {
  readonly set: StatefulSet;
  /** One for each wanted number, ascending. */
  readonly slots: readonly Slot[];
  /** Pods of numbers that are not wanted, the highest first. */
  readonly condemned: readonly Pod[];
  /** Names of the revisions. */
  readonly currentRevision: string;
  readonly updateRevision: string;
  readonly nowMs: number;
}

export interface SetPlan {
  /** Numbers whose pods are created. */
  readonly create: number[];
  readonly remove: Pod[];
}

export function worldOf(
  set: StatefulSet,
  pods: readonly Pod[],
  rest: Pick<SetWorld, "currentRevision" | "updateRevision" | "nowMs">,
): SetWorld {
  const first = set.spec.ordinals?.start ?? 0;
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(set, pod) ?? -1, pod]));
  const slots = Array.from({ length: set.spec.replicas ?? 1 }, (_, index) => {
    const ordinal = first + index;
    return { ordinal, pod: byOrdinal.get(ordinal) };
  });
  for (const { ordinal } of slots) byOrdinal.delete(ordinal);
  const condemned = [...byOrdinal].toSorted(([a], [b]) => b - a).map(([, pod]) => pod);
  return { set, slots, condemned, ...rest };
}

export function planSet(world: SetWorld): SetPlan {
  const plan: SetPlan = { create: [], remove: [] };
  const isOrdered = world.set.spec.podManagementPolicy !== "Parallel";
  if (fillSlots(world, plan, isOrdered) === "wait") return plan;
  if (removeCondemned(world, plan, isOrdered) === "wait") return plan;
  if ((world.set.spec.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate")
    replaceOutdated(world, plan);
  return plan;
}

type Progress = "go on" | "wait";

function fillSlots(world: SetWorld, { create, remove }: SetPlan, isOrdered: boolean): Progress {
  for (const { ordinal, pod } of world.slots) {
    if (!pod) create.push(ordinal);
    else if (isFinished(pod) && !isDeleting(pod)) remove.push(pod);
    else if (!isOrdered || isServing(world, pod)) continue;
    if (isOrdered) return "wait";
  }
  return "go on";
}

/** In descending order; a pod that is not available stops it, unless all with lower numbers are well. */
function removeCondemned(world: SetWorld, { remove }: SetPlan, isOrdered: boolean): Progress {
  const lowestIll = world.condemned.findLast((pod) => !isHealthy(pod));
  for (const pod of world.condemned) {
    if (isOrdered && isDeleting(pod)) return "wait";
    if (isDeleting(pod)) continue;
    if (isOrdered && !isServing(world, pod) && pod !== lowestIll) return "wait";
    remove.push(pod);
    if (isOrdered) return "wait";
  }
  return "go on";
}

/** One pod after the other, the highest number first, down to the partition. */
function replaceOutdated(world: SetWorld, { remove }: SetPlan): void {
  for (const { ordinal, pod } of world.slots.toReversed()) {
    if (ordinal < partitionOf(world.set)) return;
    if (!pod) return;
    if (revisionOf(pod) !== world.updateRevision && !isDeleting(pod)) {
      if (!remove.includes(pod)) remove.push(pod);
      return;
    }
    if (!isServing(world, pod)) return;
  }
}

function partitionOf({ spec }: StatefulSet): number {
  return (spec.ordinals?.start ?? 0) + (spec.updateStrategy?.rollingUpdate?.partition ?? 0);
}

/** Whether a new pod of a number is still of the current revision, although there is another one. */
export function keepsCurrent(set: StatefulSet, ordinal: number): boolean {
  return set.spec.updateStrategy?.type !== "OnDelete" && ordinal < partitionOf(set);
}

export function revisionOf({ metadata }: Pod): string {
  return metadata.labels?.[revisionLabel] ?? "";
}

export function isReady(pod: Pod): boolean {
  return pod.status?.phase === "Running" && availableInMs(pod, 0, 0) !== undefined;
}

function isHealthy(pod: Pod): boolean {
  return isReady(pod) && !isDeleting(pod);
}

/** Milliseconds until a ready pod is available, 0 when it is, undefined while it is not ready. */
export function waitOf({ set, nowMs }: SetWorld, pod: Pod): number | undefined {
  return isReady(pod) ? availableInMs(pod, set.spec.minReadySeconds ?? 0, nowMs) : undefined;
}

function isServing(world: SetWorld, pod: Pod): boolean {
  return isHealthy(pod) && waitOf(world, pod) === 0;
}
