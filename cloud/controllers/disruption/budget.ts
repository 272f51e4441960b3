import {
  isDeleting,
  type PodDisruptionBudget,
  type PodDisruptionBudgetStatus,
} from "#cloud/controllers/framework";
import { isPodReady, resolveShare } from "#cloud/controllers/workloads/pods";
import { rfc3339 } from "#shared/clock";
import type { Condition, Pod } from "#shared/kube";

/** How long an evicted pod may take until its deletion is seen; DeletionTimeout of disruption.go. */
const deletionMs = 120_000;

/** How many pods there should be, by what is known of their controllers. */
export interface ExpectedPods {
  /** The sum of the replicas of the controllers of the pods. */
  readonly scale: number;
}

export interface BudgetState {
  readonly status: PodDisruptionBudgetStatus;
  /** Milliseconds until an evicted pod counts as one that stays. */
  readonly recheckMs: number | undefined;
  /** Pods that were evicted and are still there. */
  readonly undeleted: readonly string[];
}

/** Whether the budget counts the replicas of controllers, and not only the pods that it selects. */
export function needsScale({ spec }: PodDisruptionBudget): boolean {
  return spec?.maxUnavailable !== undefined || typeof spec?.minAvailable === "string";
}

/** The status a budget should have; as updatePdbStatus of pkg/controller/disruption. @param scale where `needsScale` */
export function budgetState(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  { scale, nowMs }: ExpectedPods & { readonly nowMs: number },
): BudgetState {
  const { disrupted, recheckMs, undeleted } = disruptedPods(budget, pods, nowMs);
  const healthy = pods.filter(
    (pod) => isPodReady(pod) && !isDeleting(pod) && disrupted[pod.metadata.name ?? ""] === undefined,
  ).length;
  const { expected, desired } = wanted(budget, pods.length, scale);
  const allowed = expected > 0 ? Math.max(0, healthy - desired) : 0;
  const status: PodDisruptionBudgetStatus = {
    currentHealthy: healthy,
    desiredHealthy: desired,
    expectedPods: expected,
    disruptionsAllowed: allowed,
    observedGeneration: budget.metadata.generation ?? 0,
    ...(Object.keys(disrupted).length > 0 && { disruptedPods: disrupted }),
    conditions: withAllowed(budget, allowed > 0 ? "SufficientPods" : "InsufficientPods", { nowMs }),
  };
  return { status, recheckMs, undeleted };
}

/** When the number of pods cannot be found nothing may be disrupted. */
export function failedState(
  budget: PodDisruptionBudget,
  message: string,
  nowMs: number,
): PodDisruptionBudgetStatus {
  return {
    ...budget.status,
    disruptionsAllowed: 0,
    observedGeneration: budget.metadata.generation ?? 0,
    conditions: withAllowed(budget, "SyncFailed", { message, nowMs }),
  };
}

function wanted(
  { spec }: PodDisruptionBudget,
  count: number,
  scale: number,
): { readonly expected: number; readonly desired: number } {
  const { minAvailable, maxUnavailable } = spec ?? {};
  if (maxUnavailable !== undefined)
    return { expected: scale, desired: Math.max(0, scale - resolveShare(maxUnavailable, scale, Math.ceil)) };
  if (typeof minAvailable === "string")
    return { expected: scale, desired: resolveShare(minAvailable, scale, Math.ceil) };
  return { expected: count, desired: minAvailable ?? 0 };
}

function disruptedPods(
  { status }: PodDisruptionBudget,
  pods: readonly Pod[],
  nowMs: number,
): { disrupted: Record<string, string>; recheckMs: number | undefined; undeleted: string[] } {
  const present = new Set(pods.filter((pod) => !isDeleting(pod)).map(({ metadata }) => metadata.name));
  const disrupted: Record<string, string> = {};
  const undeleted: string[] = [];
  const waits: number[] = [];
  for (const [name, time] of Object.entries(status?.disruptedPods ?? {})) {
    if (!present.has(name)) continue;
    const waitMs = (Date.parse(time) || 0) + deletionMs - nowMs;
    if (waitMs <= 0) undeleted.push(name);
    else {
      disrupted[name] = time;
      // No longer than the limit, should the clock have been set back.
      waits.push(Math.min(waitMs, deletionMs));
    }
  }
  return { disrupted, undeleted, recheckMs: waits.length > 0 ? Math.min(...waits) : undefined };
}

function withAllowed(
  { metadata, status }: PodDisruptionBudget,
  reason: "SufficientPods" | "InsufficientPods" | "SyncFailed",
  { message = "", nowMs }: { readonly message?: string; readonly nowMs: number },
): Condition[] {
  const type = "DisruptionAllowed";
  const value = reason === "SufficientPods" ? "True" : "False";
  const conditions = status?.conditions ?? [];
  const old = conditions.find((one) => one.type === type);
  const lastTransitionTime = (old?.status === value && old.lastTransitionTime) || rfc3339(nowMs);
  const observedGeneration = metadata.generation ?? 0;
  const next: Condition = { type, status: value, reason, message, lastTransitionTime, observedGeneration };
  return [...conditions.filter((one) => one !== old), next];
}
