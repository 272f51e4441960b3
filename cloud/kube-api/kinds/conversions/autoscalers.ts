import {
  childOf,
  cloneJson,
  ensureChild,
  isObject,
  itemsOf,
  metadataOf,
  numberOf,
  tryJson,
  type Json,
  type JsonObject,
} from "#shared/json";

/*
 * HorizontalPodAutoscalers of autoscaling/v1 hold what v1 has no fields for in annotations, so that nothing is lost between the
 * versions (pkg/apis/autoscaling/v1/conversion.go). Stored is v2.
 */
const prefix = "autoscaling.alpha.kubernetes.io";

export function oldAutoscaler(stored: JsonObject): JsonObject {
  const object = cloneJson(stored);
  const { metrics, behavior, ...spec } = childOf(object, "spec") ?? {};
  const { currentMetrics, conditions, ...status } = childOf(object, "status") ?? {};
  const [cpu, others] = splitCpu(metrics);
  const [currentCpu, currentOthers] = splitCpu(currentMetrics);
  annotate(object, "metrics", others);
  annotate(object, "behavior", behavior);
  annotate(object, "conditions", conditions);
  annotate(object, "current-metrics", currentOthers);
  return {
    ...object,
    apiVersion: "autoscaling/v1",
    spec: { ...spec, ...percentAs("targetCPUUtilizationPercentage", cpu, "target") },
    status: { ...status, ...percentAs("currentCPUUtilizationPercentage", currentCpu, "current") },
  };
}

export function newAutoscaler(old: JsonObject): JsonObject {
  const object = cloneJson(old);
  const { targetCPUUtilizationPercentage: target, ...spec } = childOf(object, "spec") ?? {};
  const { currentCPUUtilizationPercentage: current, ...status } = childOf(object, "status") ?? {};
  const metrics = [...cpuMetric("target", target), ...listOf(takeAnnotation(object, "metrics"))];
  const currentMetrics = [
    ...cpuMetric("current", current),
    ...listOf(takeAnnotation(object, "current-metrics")),
  ];
  const behavior = takeAnnotation(object, "behavior");
  const conditions = listOf(takeAnnotation(object, "conditions"));
  return {
    ...object,
    apiVersion: "autoscaling/v2",
    spec: { ...spec, ...(metrics.length > 0 && { metrics }), ...(isObject(behavior) && { behavior }) },
    status: {
      ...status,
      ...(currentMetrics.length > 0 && { currentMetrics }),
      ...(conditions.length > 0 && { conditions }),
    },
  };
}

/** The average utilization of the CPU, which v1 has a field for, and the other metrics. */
function splitCpu(metrics: Json | undefined): [JsonObject | undefined, Json[]] {
  const all = Array.isArray(metrics) ? metrics : [];
  const isCpu = (metric: Json): metric is JsonObject =>
    isObject(metric) &&
    childOf(metric, "resource")?.["name"] === "cpu" &&
    (utilization(metric, "target") ?? utilization(metric, "current")) !== undefined;
  const cpu = all.find(isCpu);
  return [cpu, all.filter((metric) => metric !== cpu)];
}

function utilization(metric: JsonObject, field: "target" | "current"): number | undefined {
  return numberOf(childOf(childOf(metric, "resource"), field), "averageUtilization");
}

function percentAs(name: string, metric: JsonObject | undefined, field: "target" | "current"): JsonObject {
  const percent = metric && utilization(metric, field);
  return percent === undefined ? {} : { [name]: percent };
}

function cpuMetric(field: "target" | "current", percent: Json | undefined): JsonObject[] {
  if (typeof percent !== "number") return [];
  const value: JsonObject =
    field === "target"
      ? { type: "Utilization", averageUtilization: percent }
      : { averageUtilization: percent };
  return [{ type: "Resource", resource: { name: "cpu", [field]: value } }];
}

function annotate(object: JsonObject, name: string, value: Json | undefined): void {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return;
  ensureChild(ensureChild(object, "metadata"), "annotations")[`${prefix}/${name}`] = JSON.stringify(value);
}

function takeAnnotation(object: JsonObject, name: string): Json | undefined {
  const annotations = childOf(metadataOf(object), "annotations");
  const text = annotations?.[`${prefix}/${name}`];
  if (!annotations || typeof text !== "string") return undefined;
  delete annotations[`${prefix}/${name}`];
  if (Object.keys(annotations).length === 0) delete ensureChild(object, "metadata")["annotations"];
  return tryJson(text);
}

function listOf(value: Json | undefined): Json[] {
  return Array.isArray(value) ? itemsOf({ value }, "value") : [];
}
