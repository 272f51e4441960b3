import type { Pod } from "#shared/kube";
import type { MetricSpec, PodMetrics } from "./autoscaler.ts";
import type { ReasonText } from "./behavior.ts";
import type { MetricReading } from "./metric-apis.ts";

export interface MetricsInput {
  readonly specs: readonly MetricSpec[];
  readonly currentReplicas: number;
  /** As the status of the target has it. */
  readonly statusReplicas: number;
  readonly pods: readonly Pod[];
  readonly metrics: readonly PodMetrics[];
  /** What other APIs say about the metrics that are theirs. */
  readonly readings: ReadonlyMap<MetricSpec, MetricReading>;
  readonly nowMs: number;
}

/** What one metric asks for. */
export type ReadMetric =
  | { readonly ok: true; readonly replicas: number; readonly metric: string; readonly current: unknown }
  | ({ readonly ok: false } & ReasonText);
