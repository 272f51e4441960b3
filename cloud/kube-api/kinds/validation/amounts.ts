import {
  duplicate,
  eachOf,
  forbidden,
  invalid,
  optionalOneOf,
  qualifiedName,
  required,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, textOf, textsOf, type JsonObject } from "#shared/json";
import { compareQuantities, formatQuantity, parseQuantity } from "#shared/kube";

const compute = ["cpu", "memory", "ephemeral-storage"];
const counted = [
  "configmaps",
  "persistentvolumeclaims",
  "pods",
  "replicationcontrollers",
  "resourcequotas",
  "secrets",
  "services",
  "services.loadbalancers",
  "services.nodeports",
  "storage",
];
const standard = new Set([
  ...compute,
  ...counted,
  ...compute.flatMap((name) => [`requests.${name}`, `limits.${name}`]),
  "requests.storage",
]);
const scopes = [
  "BestEffort",
  "CrossNamespacePodAffinity",
  "NotBestEffort",
  "NotTerminating",
  "PriorityClass",
  "Terminating",
];
const opposites = [
  ["BestEffort", "NotBestEffort"],
  ["NotTerminating", "Terminating"],
] as const;
const operators = ["DoesNotExist", "Exists", "In", "NotIn"];

/** After `ValidateResourceQuota`. */
export function validateResourceQuota(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const hard = childOf(spec, "hard") ?? {};
  return [
    ...Object.keys(hard)
      .toSorted()
      .flatMap((name) => validateHard(name, textOf(hard, name), `spec.hard[${name}]`)),
    ...validateScopes(spec, Object.keys(hard)),
  ];
}

function validateHard(name: string, value: string, path: string): FieldError[] {
  return [
    ...validateName(name, path, "must be a standard resource for quota"),
    ...validateAmount(value, path),
  ];
}

function validateName(name: string, path: string, text: string): FieldError[] {
  const errors = qualifiedName(name).map((problem) => invalid(path, name, problem));
  const isKnown = name.includes("/") || standard.has(name) || /^(requests\.)?hugepages-/.test(name);
  if (errors.length > 0 || isKnown) return errors;
  return [
    invalid(path, name, "must be a standard resource type or fully qualified"),
    invalid(path, name, text),
  ];
}

function validateAmount(value: string, path: string): FieldError[] {
  const quantity = parseQuantity(value);
  return quantity !== undefined && quantity.nano < 0n
    ? [invalid(path, formatQuantity(quantity), "must be greater than or equal to 0")]
    : [];
}

function validateScopes(spec: JsonObject | undefined, hard: readonly string[]): FieldError[] {
  const given = textsOf(spec, "scopes");
  const rules = itemsOf(childOf(spec, "scopeSelector"), "matchExpressions");
  const path = "spec.scopeSelector.matchExpressions";
  const onlyPods = (scope: string): boolean =>
    scope !== "BestEffort" || hard.every((name) => name === "pods" || name === "count/pods");
  return [
    ...given.flatMap((scope) => {
      if (!scopes.includes(scope)) return [invalid("spec.scopes", given, "unsupported scope")];
      const unfit = hard.some((name) => !podResources.test(name)) || !onlyPods(scope);
      return unfit ? [invalid("spec.scopes", given, "unsupported scope applied to resource")] : [];
    }),
    ...opposites
      .filter((pair) => pair.every((scope) => given.includes(scope)))
      .map(() => invalid("spec.scopes", given, "conflicting scopes")),
    ...rules.flatMap((rule) => validateScopeRule(rule, path)),
  ];
}

/** What a quota with scopes may count: what pods use. */
const podResources =
  /^((requests\.|limits\.)?(cpu|memory|ephemeral-storage)|(requests\.)?hugepages-.*|pods|count\/pods)$/;

function validateScopeRule(rule: JsonObject, path: string): FieldError[] {
  const scope = textOf(rule, "scopeName");
  const operator = textOf(rule, "operator");
  const values = textsOf(rule, "values");
  const errors = scopes.includes(scope) ? [] : [invalid(`${path}.scopeName`, scope, "unsupported scope")];
  const listed = operator === "In" || operator === "NotIn";
  if (listed && values.length === 0) {
    const text = "must be atleast one value when `operator` is 'In' or 'NotIn' for scope selector";
    errors.push(required(`${path}.values`, text));
  }
  if ((operator === "Exists" || operator === "DoesNotExist") && values.length > 0) {
    const text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
    errors.push(invalid(`${path}.values`, values, text));
  }
  if (!operators.includes(operator))
    errors.push(invalid(`${path}.operator`, operator, "not a valid selector operator"));
  return errors;
}

const limitTypes = ["Container", "PersistentVolumeClaim", "Pod"];

/** After `ValidateLimitRange`. */
export function validateLimitRange(object: JsonObject): FieldError[] {
  const seen = new Set<string>();
  return eachOf(itemsOf(childOf(object, "spec"), "limits"), (limit, index) => {
    const path = `spec.limits[${index}]`;
    const type = textOf(limit, "type");
    const errors = limitTypes.includes(type) || type.includes("/") ? [] : [unknownType(type, `${path}.type`)];
    if (seen.has(type)) errors.push(duplicate(`${path}.type`, type));
    seen.add(type);
    return [...errors, ...validateLimit(limit, path)];
  });
}

function unknownType(type: string, path: string): FieldError {
  return invalid(path, type, "must be a standard limit type or fully qualified");
}

const parts = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] as const;

function validateLimit(limit: JsonObject, path: string): FieldError[] {
  const type = textOf(limit, "type");
  const names = new Set(parts.flatMap((part) => Object.keys(childOf(limit, part) ?? {})));
  const errors: FieldError[] = [];
  if (type === "Pod")
    for (const part of ["default", "defaultRequest"])
      if (childOf(limit, part) !== undefined)
        errors.push(forbidden(`${path}.${part}`, "may not be specified when `type` is 'Pod'"));
  const storageOf = (part: string): boolean => childOf(limit, part)?.storage !== undefined;
  if (type === "PersistentVolumeClaim" && !storageOf("min") && !storageOf("max"))
    errors.push(
      required(path, "either minimum or maximum storage value is required, but neither was provided"),
    );
  for (const name of [...names].toSorted()) {
    if (type === "Pod" || type === "Container")
      errors.push(
        ...validateName(name, `${path}.max[${name}]`, "must be a standard resource for containers"),
      );
    errors.push(...validateOrder(limit, name, path));
  }
  return errors;
}

/** Least to greatest; each may not be greater than those that follow. */
const order = ["min", "defaultRequest", "default", "max"] as const;
const orderNames = {
  min: "min",
  defaultRequest: "default request",
  default: "default",
  max: "max",
} as const;

function validateOrder(limit: JsonObject, name: string, path: string): FieldError[] {
  const amountOf = (part: string) => parseQuantity(textOf(childOf(limit, part), name));
  return order.flatMap((part, index) =>
    order.slice(index + 1).flatMap((other) => {
      const [less, more] = [amountOf(part), amountOf(other)];
      if (less === undefined || more === undefined || compareQuantities(less, more) <= 0) return [];
      const blamed = part === "min" && other !== "max" ? other : part;
      const text = `${orderNames[part]} value ${formatQuantity(less)} is greater than ${orderNames[other]} value ${formatQuantity(more)}`;
      return [invalid(`${path}.${blamed}[${name}]`, formatQuantity(blamed === part ? less : more), text)];
    }),
  );
}

const policies = ["PreemptLowerPriority", "Never"];
/** The highest of what users may give; above are the classes of the system. */
const highestPriority = 1_000_000_000;

/** After `ValidatePriorityClass`. */
export function validatePriorityClass(object: JsonObject): FieldError[] {
  const name = textOf(childOf(object, "metadata"), "name");
  const value = typeof object.value === "number" ? object.value : 0;
  const errors: FieldError[] = [];
  const isSystem = ["system-node-critical", "system-cluster-critical"].includes(name);
  if (name.startsWith("system-") && !isSystem)
    errors.push(
      forbidden(
        "metadata.name",
        "priority class names with 'system-' prefix are reserved for system use only. error: " +
          `${name} is not a known system priority class`,
      ),
    );
  if (!isSystem && value > highestPriority)
    errors.push(forbidden("value", `maximum allowed value of a user defined priority is ${highestPriority}`));
  return [...errors, ...optionalOneOf(object, "preemptionPolicy", { path: "", values: policies })];
}
