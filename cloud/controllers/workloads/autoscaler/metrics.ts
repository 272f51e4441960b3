import type { MetricSpec, MetricTarget } from "./autoscaler.ts";
import type { ReasonText } from "./behavior.ts";
import { readOutside } from "./outside-metrics.ts";
import type { MetricsInput, ReadMetric } from "./read-metric.ts";
import { proposeReplicas } from "./replicas.ts";

export interface WantedReplicas {
  /** Undefined when the metrics do not say. */
  readonly replicas: number | undefined;
  /** What asks for the most, e.g. "cpu resource utilization (percentage of request)". */
  readonly metric: string;
  /** `status.currentMetrics`. */
  readonly current: readonly unknown[];
  /** Why a metric gives nothing: the first. */
  readonly problem: ReasonText | undefined;
}

/**
 * The most that one of the metrics asks for. When one of them gives nothing, a smaller size is not trusted, as
 * computeReplicasForMetrics of horizontal.go.
 */
export function wantedReplicas(input: MetricsInput): WantedReplicas {
  const current: unknown[] = [];
  let replicas: number | undefined;
  let metric = "";
  let problem: ReasonText | undefined;
  for (const spec of input.specs) {
    const read = readMetric(spec, input);
    if (!read.ok) problem ??= { reason: read.reason, message: read.message };
    else {
      current.push(read.current);
      if (replicas !== undefined && read.replicas <= replicas) continue;
      ({ replicas, metric } = read);
    }
  }
  const isUnsure = problem !== undefined && (replicas ?? 0) < input.currentReplicas;
  return isUnsure
    ? { replicas: undefined, metric: "", current, problem }
    : { replicas, metric, current, problem };
}

function readMetric(spec: MetricSpec, input: MetricsInput): ReadMetric {
  const { type, resource, containerResource } = spec;
  if (type === "Resource" && resource)
    return readResource(input, {
      name: resource.name,
      target: resource.target,
      reason: "FailedGetResourceMetric",
      show: (current) => ({ type, resource: { name: resource.name, current } }),
    });
  if (type === "ContainerResource" && containerResource) {
    const { name, container, target } = containerResource;
    return readResource(input, {
      name,
      container,
      target,
      reason: "FailedGetContainerResourceMetric",
      show: (current) => ({ type, containerResource: { name, container, current } }),
    });
  }
  return readOutside(spec, input, input.readings.get(spec) ?? { ok: false, problem: "it was not asked for" });
}

interface ResourceSource {
  readonly name: string;
  readonly container?: string;
  readonly target: MetricTarget;
  readonly reason: string;
  readonly show: (current: unknown) => unknown;
}

function readResource(input: MetricsInput, source: ResourceSource): ReadMetric {
  const { name, container, target, reason, show } = source;
  const proposed = proposeReplicas({ ...input, resource: { name, container }, target });
  const isUtilization = target.averageUtilization !== undefined;
  if (!proposed.ok) {
    const what = isUtilization ? `${name} utilization` : `${name} usage`;
    const message = `the HPA was unable to compute the replica count: failed to get ${what}: ${proposed.problem}`;
    return { ok: false, reason, message };
  }
  const { replicas, current } = proposed.proposal;
  const kind = container === undefined ? "resource" : "container resource";
  const metric = isUtilization ? `${name} ${kind} utilization (percentage of request)` : `${name} ${kind}`;
  return { ok: true, replicas, metric, current: show(current) };
}
