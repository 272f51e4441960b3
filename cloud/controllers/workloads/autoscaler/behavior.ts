import type { Autoscaler, ScalingRules } from "./autoscaler.ts";

/** What was recommended and done before. */
export interface ScalingHistory {
  readonly recommendations: readonly { readonly atMs: number; readonly replicas: number }[];
  /** `change`: replicas that were added, or removed when negative. */
  readonly events: readonly { readonly atMs: number; readonly change: number }[];
}

export interface BoundedReplicas {
  readonly replicas: number;
  readonly ableToScale: ReasonText;
  readonly limited: ReasonText & { readonly status: "True" | "False" };
}

export interface ReasonText {
  readonly reason: string;
  readonly message: string;
}

/** "Default behavior" of the documentation. */
const defaults: { readonly up: Required<ScalingRules>; readonly down: Required<ScalingRules> } = {
  up: {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [
      { type: "Percent", value: 100, periodSeconds: 15 },
      { type: "Pods", value: 4, periodSeconds: 15 },
    ],
  },
  down: {
    stabilizationWindowSeconds: 300,
    selectPolicy: "Max",
    policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
  },
};

export interface BehaviorInput {
  readonly spec: Autoscaler["spec"];
  readonly currentReplicas: number;
  /** What the metrics ask for. */
  readonly wanted: number;
  readonly history: ScalingHistory;
  readonly nowMs: number;
}

/** Brings what the metrics ask for within the behavior and the bounds (normalizeDesiredReplicasWithBehaviors). */
export function applyBehavior(input: BehaviorInput): BoundedReplicas {
  const rules = {
    up: { ...defaults.up, ...input.spec.behavior?.scaleUp },
    down: { ...defaults.down, ...input.spec.behavior?.scaleDown },
  };
  const { replicas: stabilized, ableToScale } = stabilize(input, rules);
  return { ableToScale, ...limit(input, rules, stabilized) };
}

type Rules = typeof defaults;

/** The lowest recommendation of the window when growing, the highest when shrinking. */
function stabilize(
  { currentReplicas, wanted, history, nowMs }: BehaviorInput,
  { up, down }: Rules,
): { readonly replicas: number; readonly ableToScale: ReasonText } {
  const within = ({ stabilizationWindowSeconds: seconds }: Required<ScalingRules>): number[] =>
    history.recommendations.filter(({ atMs }) => atMs > nowMs - seconds * 1000).map((one) => one.replicas);
  const lowest = Math.min(wanted, ...within(up));
  const highest = Math.max(wanted, ...within(down));
  const replicas = Math.min(Math.max(currentReplicas, lowest), highest);
  return { replicas, ableToScale: stabilizedText(replicas, wanted) };
}

function stabilizedText(replicas: number, wanted: number): ReasonText {
  if (replicas === wanted)
    return { reason: "ReadyForNewScale", message: "recommended size matches current size" };
  return replicas > wanted
    ? {
        reason: "ScaleDownStabilized",
        message:
          "recent recommendations were higher than current one, applying the highest recent recommendation",
      }
    : {
        reason: "ScaleUpStabilized",
        message:
          "recent recommendations were lower than current one, applying the lowest recent recommendation",
      };
}

function limit(
  { spec, currentReplicas, history, nowMs }: BehaviorInput,
  { up, down }: Rules,
  replicas: number,
): Pick<BoundedReplicas, "replicas" | "limited"> {
  const { minReplicas = 1, maxReplicas } = spec;
  if (replicas > currentReplicas) {
    const rate = Math.max(currentReplicas, rateLimit(up, { sign: 1, currentReplicas, history, nowMs }));
    const most = Math.min(maxReplicas, rate);
    if (replicas > most) return limited(most, rate < maxReplicas ? "ScaleUpLimit" : "TooManyReplicas");
  } else if (replicas < currentReplicas) {
    const rate = Math.min(currentReplicas, rateLimit(down, { sign: -1, currentReplicas, history, nowMs }));
    const least = Math.max(minReplicas, rate);
    if (replicas < least) return limited(least, rate > minReplicas ? "ScaleDownLimit" : "TooFewReplicas");
  }
  return { replicas, limited: { status: "False", ...limitTexts.DesiredWithinRange } };
}

const limitTexts = {
  ScaleUpLimit: text(
    "ScaleUpLimit",
    "the desired replica count is increasing faster than the maximum scale rate",
  ),
  ScaleDownLimit: text(
    "ScaleDownLimit",
    "the desired replica count is decreasing faster than the maximum scale rate",
  ),
  TooManyReplicas: text(
    "TooManyReplicas",
    "the desired replica count is more than the maximum replica count",
  ),
  TooFewReplicas: text("TooFewReplicas", "the desired replica count is less than the minimum replica count"),
  DesiredWithinRange: text("DesiredWithinRange", "the desired count is within the acceptable range"),
} as const;

function text(reason: string, message: string): ReasonText {
  return { reason, message };
}

function limited(
  replicas: number,
  why: keyof typeof limitTexts,
): Pick<BoundedReplicas, "replicas" | "limited"> {
  return { replicas, limited: { status: "True", ...limitTexts[why] } };
}

interface RateInput {
  /** 1 for more, -1 for fewer. */
  readonly sign: 1 | -1;
  readonly currentReplicas: number;
  readonly history: ScalingHistory;
  readonly nowMs: number;
}

/** How far the policies allow to go from the size at the beginning of their period. */
function rateLimit(
  { selectPolicy, policies }: Required<ScalingRules>,
  { sign, currentReplicas, history, nowMs }: RateInput,
): number {
  if (selectPolicy === "Disabled") return currentReplicas;
  const proposals = policies.map(({ type, value, periodSeconds }) => {
    const changes = history.events.filter(({ atMs }) => atMs > nowMs - periodSeconds * 1000);
    const start = currentReplicas - changes.reduce((all, { change }) => all + change, 0);
    if (type === "Pods") return start + sign * value;
    const moved = start * (1 + (sign * value) / 100);
    return sign > 0 ? Math.ceil(moved - 1e-9) : Math.trunc(moved + 1e-9);
  });
  const isFarthest = selectPolicy !== "Min";
  return sign > 0 === isFarthest ? Math.max(...proposals) : Math.min(...proposals);
}
