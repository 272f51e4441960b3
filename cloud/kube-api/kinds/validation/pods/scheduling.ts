import {
  duplicate,
  eachOf,
  forbidden,
  invalid,
  qualifiedName,
  required,
  requiredOneOf,
  tooLong,
  validateSelector,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, sameMeaning, textOf, textsOf, type JsonObject } from "#shared/json";

/**
 * Characters of the affinity and the topology spread constraints of a pod, as JSON: the scheduler compares every term with
 * every pod, and a megabyte of them would hold the API for minutes. What people write has less than 2,000.
 */
const mostRules = 32 * 1024;

/** Where a pod may run: affinity, spread constraints and gates (ValidatePodSpec of pkg/apis/core/validation). */
export function validateScheduling(spec: JsonObject, path: string): FieldError[] {
  const affinity = childOf(spec, "affinity");
  const constraints = itemsOf(spec, "topologySpreadConstraints");
  if (affinity && JSON.stringify(affinity).length > mostRules)
    return [tooLong(`${path}.affinity`, mostRules)];
  if (constraints.length > 0 && JSON.stringify(constraints).length > mostRules)
    return [tooLong(`${path}.topologySpreadConstraints`, mostRules)];
  return [
    ...validateNodeAffinity(childOf(affinity, "nodeAffinity"), `${path}.affinity.nodeAffinity`),
    ...validatePodAffinity(childOf(affinity, "podAffinity"), `${path}.affinity.podAffinity`),
    ...validatePodAffinity(childOf(affinity, "podAntiAffinity"), `${path}.affinity.podAntiAffinity`),
    ...validateSpread(constraints, `${path}.topologySpreadConstraints`),
    ...validateGates(spec, path),
  ];
}

export const requiredField = "requiredDuringSchedulingIgnoredDuringExecution";
export const preferredField = "preferredDuringSchedulingIgnoredDuringExecution";

function validateNodeAffinity(affinity: JsonObject | undefined, path: string): FieldError[] {
  const hard = childOf(affinity, requiredField);
  return [
    ...(hard ? validateNodeSelector(hard, `${path}.${requiredField}`) : []),
    ...eachOf(itemsOf(affinity, preferredField), (wish, index) => {
      const place = `${path}.${preferredField}[${index}]`;
      return [
        ...validateWeight(wish, place),
        ...validateNodeTerm(childOf(wish, "preference"), `${place}.preference`),
      ];
    }),
  ];
}

/** Terms that choose nodes, for a pod and for a volume. */
export function validateNodeSelector(selector: JsonObject, path: string): FieldError[] {
  const terms = itemsOf(selector, "nodeSelectorTerms");
  const termsPath = `${path}.nodeSelectorTerms`;
  if (terms.length === 0) return [required(termsPath, "must have at least one node selector term")];
  return eachOf(terms, (term, index) => validateNodeTerm(term, `${termsPath}[${index}]`));
}

const nodeOperators = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];

function validateNodeTerm(term: JsonObject | undefined, path: string): FieldError[] {
  return [
    ...eachOf(itemsOf(term, "matchExpressions"), (one, index) =>
      validateNodeRequirement(one, `${path}.matchExpressions[${index}]`),
    ),
    ...eachOf(itemsOf(term, "matchFields"), (one, index) =>
      validateFieldRequirement(one, `${path}.matchFields[${index}]`),
    ),
  ];
}

function validateNodeRequirement(requirement: JsonObject, path: string): FieldError[] {
  const key = textOf(requirement, "key");
  const operator = textOf(requirement, "operator");
  const values = textsOf(requirement, "values");
  const errors = qualifiedName(key).map((problem) => invalid(`${path}.key`, key, problem));
  if (!nodeOperators.includes(operator))
    return [invalid(`${path}.operator`, operator, "not a valid selector operator"), ...errors];
  return [...validateValueCount(operator, values, `${path}.values`), ...errors];
}

function validateValueCount(operator: string, values: readonly string[], path: string): FieldError[] {
  if (operator === "In" || operator === "NotIn")
    return values.length === 0
      ? [required(path, "must be specified when `operator` is 'In' or 'NotIn'")]
      : [];
  if (operator === "Gt" || operator === "Lt")
    return values.length === 1
      ? []
      : [required(path, "must be specified single value when `operator` is 'Lt' or 'Gt'")];
  return values.length === 0
    ? []
    : [forbidden(path, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")];
}

/** Nodes have one field that can be selected: their name. */
function validateFieldRequirement(requirement: JsonObject, path: string): FieldError[] {
  const key = textOf(requirement, "key");
  const operator = textOf(requirement, "operator");
  const errors: FieldError[] = [];
  if (operator !== "In" && operator !== "NotIn")
    errors.push(invalid(`${path}.operator`, operator, "not a valid selector operator"));
  else if (textsOf(requirement, "values").length !== 1)
    errors.push(
      required(
        `${path}.values`,
        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
      ),
    );
  if (key !== "metadata.name") errors.push(invalid(`${path}.key`, key, "not a valid field selector key"));
  return errors;
}

function validatePodAffinity(affinity: JsonObject | undefined, path: string): FieldError[] {
  return [
    ...eachOf(itemsOf(affinity, requiredField), (term, index) =>
      validatePodTerm(term, `${path}.${requiredField}[${index}]`),
    ),
    ...eachOf(itemsOf(affinity, preferredField), (wish, index) => {
      const place = `${path}.${preferredField}[${index}]`;
      return [
        ...validateWeight(wish, place),
        ...validatePodTerm(childOf(wish, "podAffinityTerm"), `${place}.podAffinityTerm`),
      ];
    }),
  ];
}

function validatePodTerm(term: JsonObject | undefined, path: string): FieldError[] {
  return [
    ...validateSelector(childOf(term, "labelSelector"), `${path}.labelSelector`),
    ...validateSelector(childOf(term, "namespaceSelector"), `${path}.namespaceSelector`),
    ...validateTopologyKey(term, path),
  ];
}

function validateTopologyKey(term: JsonObject | undefined, path: string): FieldError[] {
  const key = textOf(term, "topologyKey");
  if (key === "") return [required(`${path}.topologyKey`, "can not be empty")];
  return qualifiedName(key).map((problem) => invalid(`${path}.topologyKey`, key, problem));
}

function validateWeight(wish: JsonObject, path: string): FieldError[] {
  const weight = numberOf(wish, "weight") ?? 0;
  return weight >= 1 && weight <= 100
    ? []
    : [invalid(`${path}.weight`, weight, "must be in the range 1-100")];
}

const policies = ["Honor", "Ignore"];

function validateSpread(constraints: readonly JsonObject[], path: string): FieldError[] {
  const seen = new Set<string>();
  return eachOf(constraints, (constraint, index) => {
    const place = `${path}[${index}]`;
    const id = `{${textOf(constraint, "topologyKey")}, ${textOf(constraint, "whenUnsatisfiable")}}`;
    const errors = seen.has(id) ? [duplicate(`${place}.{topologyKey, whenUnsatisfiable}`, id)] : [];
    seen.add(id);
    return [
      ...validateSpreadNumbers(constraint, place),
      ...validateTopologyKey(constraint, place),
      ...requiredOneOf(constraint, "whenUnsatisfiable", {
        path: place,
        values: ["DoNotSchedule", "ScheduleAnyway"],
      }),
      ...["nodeAffinityPolicy", "nodeTaintsPolicy"].flatMap((field) =>
        constraint[field] === undefined
          ? []
          : requiredOneOf(constraint, field, { path: place, values: policies }),
      ),
      ...validateSelector(childOf(constraint, "labelSelector"), `${place}.labelSelector`),
      ...errors,
    ];
  });
}

function validateSpreadNumbers(constraint: JsonObject, path: string): FieldError[] {
  const maxSkew = numberOf(constraint, "maxSkew") ?? 0;
  const minDomains = numberOf(constraint, "minDomains");
  const errors: FieldError[] = [];
  if (maxSkew <= 0) errors.push(invalid(`${path}.maxSkew`, maxSkew, "must be greater than zero"));
  if (minDomains === undefined) return errors;
  if (minDomains <= 0) errors.push(invalid(`${path}.minDomains`, minDomains, "must be greater than zero"));
  if (textOf(constraint, "whenUnsatisfiable") !== "DoNotSchedule")
    errors.push(
      invalid(
        `${path}.minDomains`,
        minDomains,
        `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${textOf(constraint, "whenUnsatisfiable")}`,
      ),
    );
  return errors;
}

function validateGates(spec: JsonObject, path: string): FieldError[] {
  const seen = new Set<string>();
  return eachOf(itemsOf(spec, "schedulingGates"), (gate, index) => {
    const place = `${path}.schedulingGates[${index}]`;
    const name = textOf(gate, "name");
    const errors = seen.has(name) ? [duplicate(place, name)] : [];
    seen.add(name);
    return [...qualifiedName(name).map((problem) => invalid(place, name, problem)), ...errors];
  });
}

/** Of a new pod: with a gate it cannot be on a node already. */
export function validateGatedNode(spec: JsonObject | undefined): FieldError[] {
  return isGated(spec) && textOf(spec, "nodeName") !== ""
    ? [forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")]
    : [];
}

export function isGated(spec: JsonObject | undefined): boolean {
  return itemsOf(spec, "schedulingGates").length > 0;
}

/** Gates can only be removed; while there is one, the nodes that a pod may run on can be reduced. */
export function validateGateUpdate(spec: JsonObject, was: JsonObject): FieldError[] {
  const before = new Set(itemsOf(was, "schedulingGates").map((gate) => textOf(gate, "name")));
  const added = itemsOf(spec, "schedulingGates").filter((gate) => !before.has(textOf(gate, "name")));
  const errors =
    added.length === 0
      ? []
      : [
          forbidden(
            "spec.schedulingGates",
            `only deletion is allowed, but found new scheduling gate '${textOf(added[0], "name")}'`,
          ),
        ];
  return isGated(was) ? [...errors, ...validateNarrowing(spec, was)] : errors;
}

function validateNarrowing(spec: JsonObject, was: JsonObject): FieldError[] {
  const selector = childOf(spec, "nodeSelector") ?? {};
  const kept = Object.entries(childOf(was, "nodeSelector") ?? {}).every(
    ([key, value]) => selector[key] === value,
  );
  const errors = kept
    ? []
    : [
        invalid(
          "spec.nodeSelector",
          selector,
          "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        ),
      ];
  return isNarrower(hardTermsOf(spec), hardTermsOf(was))
    ? errors
    : [
        ...errors,
        invalid(
          `spec.affinity.nodeAffinity.${requiredField}.nodeSelectorTerms`,
          hardTermsOf(spec),
          "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
        ),
      ];
}

function hardTermsOf(spec: JsonObject): JsonObject[] {
  return itemsOf(
    childOf(childOf(childOf(spec, "affinity"), "nodeAffinity"), requiredField),
    "nodeSelectorTerms",
  );
}

/** Terms may get further requirements; where there was none, any may be set. */
function isNarrower(next: readonly JsonObject[], was: readonly JsonObject[]): boolean {
  if (was.length === 0) return true;
  return (
    next.length === was.length &&
    was.every((term, index) =>
      ["matchExpressions", "matchFields"].every((field) =>
        itemsOf(term, field).every((one, at) => sameMeaning(itemsOf(next[index], field)[at] ?? {}, one)),
      ),
    )
  );
}
