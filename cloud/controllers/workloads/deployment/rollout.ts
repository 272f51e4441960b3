import { annotationNumber, desiredAnnotation, maxAnnotation } from "./revisions.ts";
import type { Deployment, ReplicaSet } from "#cloud/controllers/framework";

/** The new ReplicaSet (if there is one already) and those of earlier templates. */
export interface Family {
  readonly current: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
}

export interface Resize {
  readonly replicaSet: ReplicaSet;
  readonly replicas: number;
}

export function wanted(deployment: Deployment): number {
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

export function membersOf({ current, old }: Family): ReplicaSet[] {
  return current ? [...old, current] : [...old];
}

/** How many pods may be there beyond and be missing below the wanted number. */
export function limitsOf(deployment: Deployment): { readonly surge: number; readonly unavailable: number } {
  if (isRecreate(deployment)) return { surge: 0, unavailable: 0 };
  const { maxSurge = "25%", maxUnavailable = "25%" } = deployment.spec.strategy?.rollingUpdate ?? {};
  const count = wanted(deployment);
  const surge = resolve(maxSurge, count, (share) => Math.ceil(share));
  const unavailable = resolve(maxUnavailable, count, (share) => Math.floor(share));
  if (surge === 0 && unavailable === 0) return { surge: 0, unavailable: Math.min(1, count) };
  return { surge, unavailable: Math.min(unavailable, count) };
}

function resolve(value: number | string, of: number, round: (share: number) => number): number {
  if (typeof value === "number") return value;
  const percent = /^(\d+)%$/.exec(value);
  return percent ? round((Number(percent[1]) * of) / 100) : Number.parseInt(value, 10) || 0;
}

export function maxReplicas(deployment: Deployment): number {
  const count = wanted(deployment);
  return count === 0 ? 0 : count + limitsOf(deployment).surge;
}

/** How large the new ReplicaSet may be now. */
export function currentSize(deployment: Deployment, { current, old }: Family): number {
  const count = wanted(deployment);
  const now = current?.spec.replicas ?? 0;
  if (isRecreate(deployment) || now >= count) return count;
  const room = count + limitsOf(deployment).surge - sizeOf(old) - now;
  return now + Math.max(0, Math.min(room, count - now));
}

/** What a rolling update takes from the old ReplicaSets now: pods that are of no use first, then as many as may be missing. */
export function shrinkOld(deployment: Deployment, { current, old }: Family): Resize[] {
  const family = membersOf({ current, old });
  const minAvailable = wanted(deployment) - limitsOf(deployment).unavailable;
  const missing = Math.max(0, (current?.spec.replicas ?? 0) - availableIn(current));
  const spare = sizeOf(family) - minAvailable - missing;
  if (sizeOf(old) === 0 || spare <= 0) return [];
  const sizes = new Map(byCreation(old).map((replicaSet) => [replicaSet, replicaSet.spec.replicas ?? 1]));
  take(sizes, spare, (replicaSet, size) => size - availableIn(replicaSet));
  take(sizes, availableOf(family) - minAvailable, (_replicaSet, size) => size);
  return [...sizes]
    .filter(([replicaSet, size]) => size !== (replicaSet.spec.replicas ?? 1))
    .map(([replicaSet, replicas]) => ({ replicaSet, replicas }));
}

/** Lowers sizes in order, by `count` in all and each by what it can give. */
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

/** Whether a rolling Deployment was scaled since its ReplicaSets were. */
export function isRescaled(deployment: Deployment, family: Family): boolean {
  if (isRecreate(deployment)) return false;
  return membersOf(family).some((replicaSet) => {
    const desired = annotationNumber(replicaSet, desiredAnnotation);
    return (replicaSet.spec.replicas ?? 1) > 0 && desired !== undefined && desired !== wanted(deployment);
  });
}

/** What scaling (or a pause) makes of the ReplicaSets: one takes it all, several take their share. */
export function rescale(deployment: Deployment, family: Family): Resize[] {
  const { current, old } = family;
  const count = wanted(deployment);
  const active = membersOf(family).filter(({ spec }) => (spec.replicas ?? 1) > 0);
  const only = active.length === 0 ? (current ?? byCreation(old).at(-1)) : active[0];
  if (!only) return [];
  if (active.length <= 1) return [{ replicaSet: only, replicas: count }];
  if (current && current.spec.replicas === count && (current.status?.availableReplicas ?? 0) === count)
    return old.filter(({ spec }) => spec.replicas !== 0).map((replicaSet) => ({ replicaSet, replicas: 0 }));
  return isRecreate(deployment) ? [] : shares(deployment, active);
}

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
