import {
  duplicate,
  invalid,
  notSupported,
  qualifiedName,
  required,
  tooMany,
} from "#cloud/kube-api/kinds/validation";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textOf, type Json, type JsonObject } from "#shared/json";

const mostRules = 20;
const mostExitCodes = 255;
const mostPatterns = 20;
const actions = ["Count", "FailIndex", "FailJob", "Ignore"];
const statuses = ["False", "True", "Unknown"];

export function validateFailurePolicy(spec: JsonObject | undefined, path: string): FieldError[] {
  const policy = childOf(spec, "podFailurePolicy");
  if (policy === undefined) return [];
  const rules = itemsOf(policy, "rules");
  const errors = rules.flatMap((rule, index) =>
    validateRule(rule, { spec, path: `${path}.podFailurePolicy.rules[${index}]` }),
  );
  if (rules.length > mostRules)
    errors.push(tooMany(`${path}.podFailurePolicy.rules`, rules.length, mostRules));
  const restart = textOf(childOf(childOf(spec, "template"), "spec"), "restartPolicy");
  if (restart !== "Never")
    errors.push(
      invalid(
        `${path}.template.spec.restartPolicy`,
        restart,
        'only "Never" is supported when podFailurePolicy is specified',
      ),
    );
  return errors;
}

interface RuleScope {
  readonly spec: JsonObject | undefined;
  readonly path: string;
}

function validateRule(rule: JsonObject, scope: RuleScope): FieldError[] {
  const { spec, path } = scope;
  const action = textOf(rule, "action");
  const codes = childOf(rule, "onExitCodes");
  const patterns = itemsOf(rule, "onPodConditions");
  const errors: FieldError[] = [];
  if (action === "") errors.push(required(`${path}.action`, `valid values: ${JSON.stringify(actions)}`));
  else if (!actions.includes(action)) errors.push(notSupported(`${path}.action`, action, actions));
  else if (action === "FailIndex" && numberOf(spec, "backoffLimitPerIndex") === undefined)
    errors.push(invalid(`${path}.action`, action, "requires the backoffLimitPerIndex to be set"));
  if (codes !== undefined && patterns.length > 0)
    errors.push(invalid(path, null, "specifying both OnExitCodes and OnPodConditions is not supported"));
  if (codes === undefined && patterns.length === 0)
    errors.push(invalid(path, null, "specifying one of OnExitCodes and OnPodConditions is required"));
  if (codes !== undefined) errors.push(...validateExitCodes(codes, { spec, path: `${path}.onExitCodes` }));
  return [...errors, ...validatePatterns(patterns, `${path}.onPodConditions`)];
}

function validateExitCodes(codes: JsonObject, { spec, path }: RuleScope): FieldError[] {
  const operator = textOf(codes, "operator");
  const values: Json[] = Array.isArray(codes.values) ? codes.values : [];
  const errors: FieldError[] = [];
  if (operator !== "In" && operator !== "NotIn")
    errors.push(notSupported(`${path}.operator`, operator, ["In", "NotIn"]));
  const container = textOf(codes, "containerName");
  if (codes.containerName !== undefined && !containerNames(spec).has(container))
    errors.push(
      invalid(
        `${path}.containerName`,
        container,
        "must be one of the container or initContainer names in the pod template",
      ),
    );
  if (values.length === 0 || values.length > mostExitCodes)
    errors.push(invalid(`${path}.values`, values, `must have between 1 and ${mostExitCodes} items`));
  return [...errors, ...validateValues(values, { operator, path })];
}

function validateValues(values: readonly Json[], rule: { operator: string; path: string }): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, value] of values.slice(0, mostExitCodes).entries()) {
    const field = `${rule.path}.values[${index}]`;
    if (value === 0 && rule.operator === "In")
      errors.push(invalid(field, value, "must not be 0 for the In operator"));
    if (values.indexOf(value) < index) errors.push(duplicate(field, value));
  }
  return errors;
}

function containerNames(spec: JsonObject | undefined): Set<string> {
  const pod = childOf(childOf(spec, "template"), "spec");
  const all = [...itemsOf(pod, "containers"), ...itemsOf(pod, "initContainers")];
  return new Set(all.map((container) => textOf(container, "name")));
}

function validatePatterns(patterns: readonly JsonObject[], path: string): FieldError[] {
  const errors = patterns.slice(0, mostPatterns).flatMap((pattern, index) => {
    const type = textOf(pattern, "type");
    const status = textOf(pattern, "status");
    const problems = qualifiedName(type).map((problem) => invalid(`${path}[${index}].type`, type, problem));
    return statuses.includes(status)
      ? problems
      : [...problems, notSupported(`${path}[${index}].status`, status, statuses)];
  });
  if (patterns.length > mostPatterns) errors.push(tooMany(path, patterns.length, mostPatterns));
  return errors;
}
