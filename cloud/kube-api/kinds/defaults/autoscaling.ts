import { childOf, ensureChild, setDefault, setDefaultText, type JsonObject } from "#shared/json";

/** After pkg/apis/autoscaling/v2/defaults.go. */
export function defaultAutoscaler(object: JsonObject): void {
  const spec = ensureChild(object, "spec");
  setDefault(spec, "minReplicas", 1);
  const target = { type: "Utilization", averageUtilization: 80 };
  setDefault(spec, "metrics", [{ type: "Resource", resource: { name: "cpu", target } }]);
  const behavior = childOf(spec, "behavior");
  if (behavior) {
    defaultScaling(ensureChild(behavior, "scaleUp"), [
      { type: "Pods", value: 4, periodSeconds: 15 },
      { type: "Percent", value: 100, periodSeconds: 15 },
    ]);
    setDefault(ensureChild(behavior, "scaleUp"), "stabilizationWindowSeconds", 0);
    defaultScaling(ensureChild(behavior, "scaleDown"), [{ type: "Percent", value: 100, periodSeconds: 15 }]);
  }
  const status = ensureChild(object, "status");
  setDefault(status, "desiredReplicas", 0);
  setDefault(status, "currentMetrics", null);
}

function defaultScaling(rules: JsonObject, policies: JsonObject[]): void {
  setDefaultText(rules, "selectPolicy", "Max");
  setDefault(rules, "policies", policies);
}
