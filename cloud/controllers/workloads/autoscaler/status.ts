import { rfc3339 } from "#shared/clock";
import type { Condition } from "#shared/kube";
import type { Autoscaler } from "./autoscaler.ts";
import type { NewCondition } from "./decide.ts";

export interface NewStatus {
  readonly currentReplicas?: number;
  readonly desiredReplicas?: number;
  readonly currentMetrics?: readonly unknown[] | undefined;
  readonly conditions: readonly NewCondition[];
  readonly hasScaled?: boolean;
  readonly nowMs: number;
}

/** The status to be written; undefined when it is so already. */
export function statusOf({ metadata, status: old = {} }: Autoscaler, next: NewStatus): object | undefined {
  const { currentReplicas, desiredReplicas, currentMetrics, hasScaled, nowMs } = next;
  const { generation } = metadata;
  const status = {
    ...old,
    ...(generation !== undefined && { observedGeneration: generation }),
    ...(currentReplicas !== undefined && { currentReplicas }),
    ...(desiredReplicas !== undefined && { desiredReplicas }),
    ...(currentMetrics && { currentMetrics: currentMetrics.length > 0 ? currentMetrics : null }),
    ...(hasScaled && { lastScaleTime: rfc3339(nowMs) }),
    conditions: mergeConditions(old.conditions ?? [], next.conditions, rfc3339(nowMs)),
  };
  return Bun.deepEquals(status, old) ? undefined : status;
}

/** Conditions that are not decided again stay; the time is that of the last change. */
function mergeConditions(old: readonly Condition[], next: readonly NewCondition[], now: string): Condition[] {
  const merged = new Map(old.map((one) => [one.type, one]));
  for (const one of next) {
    const before = merged.get(one.type);
    const since = before?.status === one.status ? before.lastTransitionTime : undefined;
    merged.set(one.type, { ...one, lastTransitionTime: since ?? now });
  }
  return [...merged.values()];
}
