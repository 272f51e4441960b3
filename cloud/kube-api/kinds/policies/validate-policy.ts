import { compileExpression } from "#cloud/kube-api/custom-resources/cel";
import {
  duplicate,
  eachOf,
  invalid,
  notSupported,
  optionalOneOf,
  qualifiedName,
  required,
  requiredOneOf,
  validateSelector,
} from "#cloud/kube-api/kinds/validation/basics";
import { validateRule } from "#cloud/kube-api/kinds/validation";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, textOf, textsOf, type JsonObject } from "#shared/json";

/* After pkg/apis/admissionregistration/validation. */

const reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
/** Expressions of one policy: each is evaluated for each request that it is for. */
export const mostExpressions = 64;

/** Names that expressions may use. */
export function policyNames(hasParams: boolean): string[] {
  return [
    "object",
    "oldObject",
    "request",
    "namespaceObject",
    "authorizer",
    ...(hasParams ? ["params"] : []),
    "variables",
  ];
}

export function validatePolicy(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec") ?? {};
  const hasParams = childOf(spec, "paramKind") !== undefined;
  const variables = itemsOf(spec, "variables");
  const validations = itemsOf(spec, "validations");
  const annotations = itemsOf(spec, "auditAnnotations");
  const schema = {
    type: "object",
    properties: Object.fromEntries(variables.map((one) => [textOf(one, "name"), {}])),
  };
  const expression = (text: string, path: string, wanted: string): FieldError[] =>
    compiles(text, { path, wanted, names: policyNames(hasParams), variables: schema });
  const errors = [
    ...requiredOneOf(spec, "failurePolicy", { path: "spec", values: ["Fail", "Ignore"] }),
    ...validateParamKind(childOf(spec, "paramKind")),
    ...validateMatch(childOf(spec, "matchConstraints"), "spec.matchConstraints"),
    ...validateVariables(variables, hasParams),
    ...validateConditions(itemsOf(spec, "matchConditions"), expression),
    ...eachOf(validations, (one, index) => validateValidation(one, `spec.validations[${index}]`, expression)),
    ...eachOf(annotations, (one, index) => {
      const path = `spec.auditAnnotations[${index}]`;
      const key = textOf(one, "key");
      return [
        ...(key === ""
          ? [required(`${path}.key`)]
          : qualifiedName(key).map((text) => invalid(`${path}.key`, key, text))),
        ...expression(textOf(one, "valueExpression"), `${path}.valueExpression`, "string"),
      ];
    }),
  ];
  if (!childOf(spec, "matchConstraints")) errors.push(required("spec.matchConstraints"));
  else if (itemsOf(childOf(spec, "matchConstraints"), "resourceRules").length === 0)
    errors.push(required("spec.matchConstraints.resourceRules"));
  if (validations.length === 0 && annotations.length === 0)
    errors.push(required("spec.validations", "validations or auditAnnotations must be non-empty"));
  if (validations.length + annotations.length + variables.length > mostExpressions)
    errors.push(invalid("spec", "", `must have at most ${mostExpressions} expressions`));
  return errors;
}

type Compiles = (text: string, path: string, wanted: string) => FieldError[];

function compiles(
  text: string,
  {
    path,
    wanted,
    names,
    variables,
  }: {
    readonly path: string;
    readonly wanted: string;
    readonly names: readonly string[];
    readonly variables: JsonObject;
  },
): FieldError[] {
  if (text.trim() === "") return [required(path)];
  const compiled = compileExpression(text, names, { variables });
  if (typeof compiled === "string") return [invalid(path, text, `compilation failed: ERROR: ${compiled}`)];
  if (wanted === "dyn" || compiled.type === wanted || compiled.type === "dyn") return [];
  return [invalid(path, text, `must evaluate to ${wanted}`)];
}

function validateParamKind(paramKind: JsonObject | undefined): FieldError[] {
  if (!paramKind) return [];
  return ["apiVersion", "kind"].flatMap((field) =>
    textOf(paramKind, field) === "" ? [required(`spec.paramKind.${field}`)] : [],
  );
}

function validateMatch(match: JsonObject | undefined, path: string): FieldError[] {
  if (!match) return [];
  return [
    ...requiredOneOf(match, "matchPolicy", { path, values: ["Exact", "Equivalent"] }),
    ...validateSelector(childOf(match, "namespaceSelector"), `${path}.namespaceSelector`),
    ...validateSelector(childOf(match, "objectSelector"), `${path}.objectSelector`),
    ...["resourceRules", "excludeResourceRules"].flatMap((field) =>
      eachOf(itemsOf(match, field), (rule, index) => validateRule(rule, `${path}.${field}[${index}]`)),
    ),
  ];
}

const identifier = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Each may use those before it. */
function validateVariables(variables: readonly JsonObject[], hasParams: boolean): FieldError[] {
  const before: Record<string, JsonObject> = {};
  return variables.flatMap((variable, index) => {
    const path = `spec.variables[${index}]`;
    const name = textOf(variable, "name");
    const errors: FieldError[] = [];
    if (name === "") errors.push(required(`${path}.name`, "name is not specified"));
    else if (!identifier.test(name))
      errors.push(invalid(`${path}.name`, name, "name is not a valid CEL identifier"));
    else if (Object.hasOwn(before, name)) errors.push(duplicate(`${path}.name`, name));
    const seen = { type: "object", properties: { ...before } };
    errors.push(
      ...compiles(textOf(variable, "expression"), {
        path: `${path}.expression`,
        wanted: "dyn",
        names: policyNames(hasParams),
        variables: seen,
      }),
    );
    before[name] = {};
    return errors;
  });
}

function validateConditions(conditions: readonly JsonObject[], expression: Compiles): FieldError[] {
  const names = new Set<string>();
  return eachOf(conditions, (condition, index) => {
    const path = `spec.matchConditions[${index}]`;
    const name = textOf(condition, "name");
    const isTaken = names.has(name);
    names.add(name);
    return [
      ...(name === ""
        ? [required(`${path}.name`)]
        : qualifiedName(name).map((text) => invalid(`${path}.name`, name, text))),
      ...(isTaken && name !== "" ? [duplicate(`${path}.name`, name)] : []),
      ...expression(textOf(condition, "expression"), `${path}.expression`, "bool"),
    ];
  });
}

function validateValidation(validation: JsonObject, path: string, expression: Compiles): FieldError[] {
  const messageText = textOf(validation, "messageExpression");
  const message = textOf(validation, "message");
  return [
    ...expression(textOf(validation, "expression"), `${path}.expression`, "bool"),
    ...(messageText === "" ? [] : expression(messageText, `${path}.messageExpression`, "string")),
    ...(message.trim().includes("\n")
      ? [invalid(`${path}.message`, message, "message must not contain line breaks")]
      : []),
    ...optionalOneOf(validation, "reason", { path, values: reasons }),
  ];
}

const actions = ["Audit", "Deny", "Warn"];

export function validateBinding(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const asked = textsOf(spec, "validationActions");
  const errors = validateMatch(childOf(spec, "matchResources"), "spec.matchResources");
  if (textOf(spec, "policyName") === "") errors.push(required("spec.policyName"));
  if (asked.length === 0)
    errors.push(required("spec.validationActions", "at least one validation action is required"));
  for (const [index, action] of asked.entries()) {
    const path = `spec.validationActions[${index}]`;
    if (!actions.includes(action)) errors.push(notSupported(path, action, actions));
    if (asked.indexOf(action) !== index) errors.push(duplicate(path, action));
  }
  if (asked.includes("Deny") && asked.includes("Warn"))
    errors.push(
      invalid(
        "spec.validationActions",
        asked,
        "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
      ),
    );
  return [...errors, ...validateParams(childOf(spec, "paramRef"))];
}

function validateParams(params: JsonObject | undefined): FieldError[] {
  if (!params) return [];
  const path = "spec.paramRef";
  const name = textOf(params, "name");
  const selector = childOf(params, "selector");
  const errors = [
    ...validateSelector(selector, `${path}.selector`),
    ...requiredOneOf(params, "parameterNotFoundAction", { path, values: ["Deny", "Allow"] }),
  ];
  if ((name === "") === (selector === undefined))
    errors.push(
      name === ""
        ? required(path, "one of name or selector must be specified")
        : invalid(`${path}.name`, name, "name and selector are mutually exclusive"),
    );
  return errors;
}
