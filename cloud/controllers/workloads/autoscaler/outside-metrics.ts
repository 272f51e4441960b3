import { isPodReady } from "#cloud/controllers/workloads/pods";
import { formatQuantity, quantityNumber, type LabelSelector, type Pod } from "#shared/kube";
import type { MetricIdentifier, MetricSpec, MetricTarget, PodMetrics } from "./autoscaler.ts";
import type { MetricReading, MetricValue } from "./metric-apis.ts";
import type { MetricsInput, ReadMetric } from "./read-metric.ts";
import { isClose, proposeReplicas } from "./replicas.ts";

/** Pods, Object and External metrics: values that another API gives (replica_calculator.go of kube-controller-manager). */
export function readOutside(spec: MetricSpec, input: MetricsInput, reading: MetricReading): ReadMetric {
  const asked = askedIn(spec);
  if (!asked) return failed(spec.type, "unknown metric source");
  if (!reading.ok) return failed(spec.type, `${asked.unable}${reading.problem}`);
  if (reading.values.length === 0)
    return failed(spec.type, `${asked.unable}no metrics returned from the API`);
  if (spec.pods) return readPods(spec.pods, input, reading.values);
  const total = reading.values.reduce((sum, { value }) => sum + value, 0);
  const { target, name, show } = asked;
  const perPod = target.averageValue !== undefined;
  const wanted = thousandths(perPod ? target.averageValue : target.value);
  if (wanted <= 0) return failed(spec.type, "neither a value target nor an average value target was set");
  if (perPod) {
    const pods = input.statusReplicas;
    const isEnough = isClose(total / (wanted * pods));
    const replicas = isEnough ? pods : Math.ceil(total / wanted);
    return {
      ok: true,
      replicas,
      metric: name,
      current: show({ averageValue: textOf(Math.ceil(total / Math.max(1, pods))) }),
    };
  }
  const ratio = total / wanted;
  const replicas = isClose(ratio) ? input.currentReplicas : Math.ceil(ratio * readyPods(input.pods));
  return { ok: true, replicas, metric: name, current: show({ value: textOf(total) }) };
}

interface AskedMetric {
  readonly target: MetricTarget;
  /** What asks for the size, in conditions and Events. */
  readonly name: string;
  /** Start of the text when there is no value. */
  readonly unable: string;
  /** As `status.currentMetrics` has it. */
  readonly show: (current: object) => unknown;
}

function askedIn({ type, pods, object, external }: MetricSpec): AskedMetric | undefined {
  if (pods)
    return {
      target: pods.target,
      name: `pods metric ${pods.metric.name}`,
      unable: `unable to get metric ${pods.metric.name}: `,
      show: (current) => ({ type, pods: { metric: pods.metric, current } }),
    };
  if (object) {
    const { describedObject: about, metric, target } = object;
    const isPerPod = target.averageValue !== undefined;
    return {
      target,
      name: isPerPod ? externalName(metric) : `${about.kind} metric ${metric.name}`,
      unable: `unable to get metric ${metric.name}: ${about.kind} on ${about.name}/`,
      show: (current) => ({ type, object: { describedObject: about, metric, current } }),
    };
  }
  if (!external) return undefined;
  const { metric, target } = external;
  return {
    target,
    name: externalName(metric),
    unable: `unable to get external metric ${metric.name}/${selectorText(metric.selector)}: `,
    show: (current) => ({ type, external: { metric, current } }),
  };
}

function readPods(
  { metric, target }: NonNullable<MetricSpec["pods"]>,
  input: MetricsInput,
  values: readonly MetricValue[],
): ReadMetric {
  const proposed = proposeReplicas({
    ...input,
    metrics: values.map((one) => measured(metric.name, one)),
    resource: { name: metric.name, isOutside: true },
    target,
  });
  if (!proposed.ok) return failed("Pods", proposed.problem);
  const { replicas, current } = proposed.proposal;
  return {
    ok: true,
    replicas,
    metric: `pods metric ${metric.name}`,
    current: { type: "Pods", pods: { metric, current } },
  };
}

function measured(metric: string, { object, value, timestamp }: MetricValue): PodMetrics {
  const containers = [{ name: "", usage: { [metric]: textOf(value) } }];
  return { metadata: { name: object }, timestamp, window: "0s", containers };
}

function readyPods(pods: readonly Pod[]): number {
  return pods.filter((pod) => pod.status?.phase === "Running" && isPodReady(pod)).length;
}

function failed(type: string, why: string): ReadMetric {
  const message = `the HPA was unable to compute the replica count: ${why}`;
  return { ok: false, reason: `FailedGet${type}Metric`, message };
}

function externalName({ name, selector }: MetricIdentifier): string {
  return `external metric ${name}(${selectorText(selector)})`;
}

/** As Go prints a LabelSelector. */
function selectorText(selector: LabelSelector | undefined): string {
  if (!selector) return "nil";
  const labels = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}: ${value},`);
  const rules = (selector.matchExpressions ?? []).map(
    ({ key, operator, values = [] }) =>
      `LabelSelectorRequirement{Key:${key},Operator:${operator},Values:[${values.join(" ")}],},`,
  );
  return `&LabelSelector{MatchLabels:map[string]string{${labels.join("")}},MatchExpressions:[]LabelSelectorRequirement{${rules.join("")}},}`;
}

function thousandths(text: string | undefined): number {
  return (quantityNumber(text) ?? 0) * 1000;
}

function textOf(value: number): string {
  return formatQuantity({ nano: BigInt(value) * 1_000_000n, format: "decimal" });
}
