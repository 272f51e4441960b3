import { applyBehavior, type ReasonText, type ScalingHistory } from "./behavior.ts";
import type { Autoscaler } from "./autoscaler.ts";
import { wantedReplicas } from "./metrics.ts";
import type { MetricsInput } from "./read-metric.ts";

export interface DecisionInput extends Omit<MetricsInput, "specs"> {
  readonly spec: Autoscaler["spec"];
  readonly history: ScalingHistory;
}

export interface NewCondition extends ReasonText {
  readonly type: "AbleToScale" | "ScalingActive" | "ScalingLimited";
  readonly status: "True" | "False";
}

export interface Decision {
  readonly replicas: number;
  /** Of the Event, when the size changes. */
  readonly reason: string;
  readonly conditions: readonly NewCondition[];
  readonly currentMetrics?: readonly unknown[];
  /** What the metrics ask for, to be remembered. */
  readonly recommendation?: number;
  /** Why a metric gives nothing. */
  readonly problem?: ReasonText | undefined;
}

const gotScale: NewCondition = {
  type: "AbleToScale",
  status: "True",
  reason: "SucceededGetScale",
  message: "the HPA controller was able to get the target's current scale",
};

/** What size the target is to have (reconcileAutoscaler of horizontal.go). */
export function decideReplicas(input: DecisionInput): Decision {
  const { spec, currentReplicas } = input;
  const { minReplicas = 1, maxReplicas } = spec;
  if (currentReplicas === 0 && minReplicas !== 0)
    return {
      replicas: 0,
      reason: "",
      conditions: [
        gotScale,
        {
          type: "ScalingActive",
          status: "False",
          reason: "ScalingDisabled",
          message: "scaling is disabled since the replica count of the target is zero",
        },
      ],
    };
  if (currentReplicas > maxReplicas)
    return bounded(maxReplicas, "Current number of replicas above Spec.MaxReplicas");
  if (currentReplicas < minReplicas)
    return bounded(minReplicas, "Current number of replicas below Spec.MinReplicas");
  return decideByMetrics(input);
}

function bounded(replicas: number, reason: string): Decision {
  return { replicas, reason, conditions: [gotScale] };
}

function decideByMetrics(input: DecisionInput): Decision {
  const { spec, currentReplicas, history, nowMs } = input;
  const wanted = wantedReplicas({ ...input, specs: spec.metrics ?? [] });
  const { metric, current, problem } = wanted;
  if (wanted.replicas === undefined)
    return {
      replicas: currentReplicas,
      reason: "",
      conditions: [gotScale, ...(problem ? [inactive(problem)] : [])],
      currentMetrics: current,
      problem,
    };
  const { replicas, ableToScale, limited } = applyBehavior({
    spec,
    currentReplicas,
    wanted: wanted.replicas,
    history,
    nowMs,
  });
  return {
    replicas,
    reason: wanted.replicas < currentReplicas ? "All metrics below target" : `${metric} above target`,
    currentMetrics: current,
    recommendation: wanted.replicas,
    problem,
    conditions: [
      { type: "AbleToScale", status: "True", ...ableToScale },
      {
        type: "ScalingActive",
        status: "True",
        reason: "ValidMetricFound",
        message: `the HPA was able to successfully calculate a replica count from ${metric}`,
      },
      { type: "ScalingLimited", ...limited },
    ],
  };
}

function inactive(problem: ReasonText): NewCondition {
  return { type: "ScalingActive", status: "False", ...problem };
}
