import { qosClassOf } from "#cloud/kube-api/kinds";
import { childOf, itemsOf, numberOf, textOf, textsOf, type JsonObject } from "#shared/json";

/** Whether a quota counts an object: those with scopes count pods alone. After pkg/quota/v1/evaluator/core/pods.go. */
export function isCounted(quota: JsonObject, resource: string, object: JsonObject): boolean {
  const spec = childOf(quota, "spec");
  const scopes = textsOf(spec, "scopes");
  const terms = itemsOf(childOf(spec, "scopeSelector"), "matchExpressions");
  if (scopes.length === 0 && terms.length === 0) return true;
  if (resource !== "/pods") return false;
  return scopes.every((scope) => isIn(scope, object)) && terms.every((term) => meets(term, object));
}

function isIn(scope: string, pod: JsonObject): boolean {
  const spec = childOf(pod, "spec");
  switch (scope) {
    case "Terminating":
      return numberOf(spec, "activeDeadlineSeconds") !== undefined;
    case "NotTerminating":
      return numberOf(spec, "activeDeadlineSeconds") === undefined;
    case "BestEffort":
      return qosClassOf(pod) === "BestEffort";
    case "NotBestEffort":
      return qosClassOf(pod) !== "BestEffort";
    case "PriorityClass":
      return textOf(spec, "priorityClassName") !== "";
    case "CrossNamespacePodAffinity":
      return crossesNamespaces(childOf(spec, "affinity"));
    default:
      return false;
  }
}

function meets(term: JsonObject, pod: JsonObject): boolean {
  const scope = textOf(term, "scopeName");
  if (scope !== "PriorityClass") return isIn(scope, pod) === (term.operator !== "DoesNotExist");
  const name = textOf(childOf(pod, "spec"), "priorityClassName");
  const values = textsOf(term, "values");
  switch (textOf(term, "operator")) {
    case "In":
      return values.includes(name);
    case "NotIn":
      return !values.includes(name);
    case "DoesNotExist":
      return name === "";
    default:
      return name !== "";
  }
}

function crossesNamespaces(affinity: JsonObject | undefined): boolean {
  return ["podAffinity", "podAntiAffinity"].some((field) => {
    const rules = childOf(affinity, field);
    const terms = [
      ...itemsOf(rules, "requiredDuringSchedulingIgnoredDuringExecution"),
      ...itemsOf(rules, "preferredDuringSchedulingIgnoredDuringExecution").map(
        (weighted) => childOf(weighted, "podAffinityTerm") ?? {},
      ),
    ];
    return terms.some(
      (term) => textsOf(term, "namespaces").length > 0 || term.namespaceSelector !== undefined,
    );
  });
}
