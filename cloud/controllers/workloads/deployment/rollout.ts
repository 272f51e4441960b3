import { annotationNumber, desiredAnnotation, maxAnnotation } from "./revisions.ts";
import type { Deployment, ReplicaSet } from "#cloud/controllers/framework";
import { resolveShare } from "#cloud/controllers/workloads/pods";

/**
 * How a rollout proceeds, decided from the sizes of its ReplicaSets. Follows pkg/controller/deployment/rolling.go, sync.go
 * and util/deployment_util.go of Kubernetes.
 */

/** The ReplicaSet of the current template, once it exists, and those of earlier templates. */
export interface DeploymentReplicaSets {
  readonly current: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
}

export interface Resize {
  readonly replicaSet: ReplicaSet;
  readonly replicas: number;
}

export function desiredReplicas(deployment: Deployment): number {
  return deployment.spec.replicas ?? 1;
}

export function isRecreate(deployment: Deployment): boolean {
  return deployment.spec.strategy?.type === "Recreate";
}

export function sizeOf(replicaSets: readonly ReplicaSet[]): number {
  return replicaSets.reduce((sum, { spec }) => sum + (spec.replicas ?? 1), 0);
}

export function availableOf(replicaSets: readonly ReplicaSet[]): number {
  return replicaSets.reduce((sum, { status }) => sum + (status?.availableReplicas ?? 0), 0);
}

export function allOf({ current, old }: DeploymentReplicaSets): ReplicaSet[] {
  return current ? [...old, current] : [...old];
}

/** How many pods may exist beyond, and may be unavailable below, the desired number; as ResolveFenceposts. */
export function limitsOf(deployment: Deployment): { readonly surge: number; readonly unavailable: number } {
  if (isRecreate(deployment)) return { surge: 0, unavailable: 0 };
  const { maxSurge = "25%", maxUnavailable = "25%" } = deployment.spec.strategy?.rollingUpdate ?? {};
  const count = desiredReplicas(deployment);
  const surge = resolveShare(maxSurge, count, (share) => Math.ceil(share));
  const unavailable = resolveShare(maxUnavailable, count, (share) => Math.floor(share));
  if (surge === 0 && unavailable === 0) return { surge: 0, unavailable: Math.min(1, count) };
  return { surge, unavailable: Math.min(unavailable, count) };
}

export function maxReplicas(deployment: Deployment): number {
  const count = desiredReplicas(deployment);
  return count === 0 ? 0 : count + limitsOf(deployment).surge;
}

/** How large the current ReplicaSet may be now; as NewRSNewReplicas. */
export function currentSize(deployment: Deployment, { current, old }: DeploymentReplicaSets): number {
  const count = desiredReplicas(deployment);
  const now = current?.spec.replicas ?? 0;
  if (isRecreate(deployment) || now >= count) return count;
  const room = count + limitsOf(deployment).surge - sizeOf(old) - now;
  return now + Math.max(0, Math.min(room, count - now));
}

/** How a rolling update shrinks old ReplicaSets now: unavailable pods first, then as many as may be unavailable. */
export function shrinkOld(deployment: Deployment, { current, old }: DeploymentReplicaSets): Resize[] {
  const replicaSets = allOf({ current, old });
  const minAvailable = desiredReplicas(deployment) - limitsOf(deployment).unavailable;
  const missing = Math.max(0, (current?.spec.replicas ?? 0) - availableIn(current));
  const spare = sizeOf(replicaSets) - minAvailable - missing;
  if (sizeOf(old) === 0 || spare <= 0) return [];
  const sizes = new Map(byCreation(old).map((replicaSet) => [replicaSet, replicaSet.spec.replicas ?? 1]));
  take(sizes, spare, (replicaSet, size) => size - availableIn(replicaSet));
  take(sizes, availableOf(replicaSets) - minAvailable, (_replicaSet, size) => size);
  return [...sizes]
    .filter(([replicaSet, size]) => size !== (replicaSet.spec.replicas ?? 1))
    .map(([replicaSet, replicas]) => ({ replicaSet, replicas }));
}

/** Lowers sizes in order, by `count` in total and each by at most what it can give. */
function take(
  sizes: Map<ReplicaSet, number>,
  count: number,
  canGive: (replicaSet: ReplicaSet, size: number) => number,
): void {
  let left = Math.max(0, count);
  for (const [replicaSet, size] of sizes) {
    const taken = Math.min(left, Math.max(0, canGive(replicaSet, size)));
    sizes.set(replicaSet, size - taken);
    left -= taken;
  }
}

function availableIn(replicaSet: ReplicaSet | undefined): number {
  return replicaSet?.status?.availableReplicas ?? 0;
}

/** Whether a rolling Deployment was scaled after its ReplicaSets; as isScalingEvent. */
export function isRescaled(deployment: Deployment, replicaSets: DeploymentReplicaSets): boolean {
  if (isRecreate(deployment)) return false;
  return allOf(replicaSets).some((replicaSet) => {
    const desired = annotationNumber(replicaSet, desiredAnnotation);
    return (
      (replicaSet.spec.replicas ?? 1) > 0 && desired !== undefined && desired !== desiredReplicas(deployment)
    );
  });
}

/** The sizes after scaling, also of a paused Deployment: a single ReplicaSet takes it all, several take their share. */
export function rescale(deployment: Deployment, replicaSets: DeploymentReplicaSets): Resize[] {
  const { current, old } = replicaSets;
  const count = desiredReplicas(deployment);
  const active = allOf(replicaSets).filter(({ spec }) => (spec.replicas ?? 1) > 0);
  const only = active.length === 0 ? (current ?? byCreation(old).at(-1)) : active[0];
  if (!only) return [];
  if (active.length <= 1) return [{ replicaSet: only, replicas: count }];
  if (current && current.spec.replicas === count && (current.status?.availableReplicas ?? 0) === count)
    return old.filter(({ spec }) => spec.replicas !== 0).map((replicaSet) => ({ replicaSet, replicas: 0 }));
  return isRecreate(deployment) ? [] : shares(deployment, active);
}

/** Shares in proportion to the sizes, the rounding error with the largest ReplicaSet; as sync.go's scale. */
function shares(deployment: Deployment, active: readonly ReplicaSet[]): Resize[] {
  const allowed = maxReplicas(deployment);
  let toAdd = allowed - sizeOf(active);
  const growing = toAdd > 0;
  const newest = byCreation(active).toReversed();
  const largest = growing ? newest : newest.toReversed();
  largest.sort((a, b) => (b.spec.replicas ?? 1) - (a.spec.replicas ?? 1));
  const resizes = largest.map((replicaSet) => {
    const size = replicaSet.spec.replicas ?? 1;
    const before =
      annotationNumber(replicaSet, maxAnnotation) ?? deployment.status?.replicas ?? sizeOf(active);
    const share = Math.round((size * allowed) / Math.max(1, before)) - size;
    const change = growing ? Math.max(0, Math.min(share, toAdd)) : Math.min(0, Math.max(share, toAdd));
    toAdd -= change;
    return { replicaSet, replicas: size + change };
  });
  const [first, ...rest] = resizes;
  return first ? [{ ...first, replicas: Math.max(0, first.replicas + toAdd) }, ...rest] : [];
}

export function byCreation(replicaSets: readonly ReplicaSet[]): ReplicaSet[] {
  const time = ({ metadata }: ReplicaSet): string =>
    `${metadata.creationTimestamp ?? ""} ${metadata.name ?? ""}`;
  return [...replicaSets].sort((a, b) => (time(a) < time(b) ? -1 : 1));
}
