import {
  celValue,
  compileExpression,
  madeMessage,
  optionalValue,
  type Expression,
  type Meter,
} from "#cloud/kube-api/custom-resources/cel";
import { invalid, notSupported } from "#cloud/kube-api/kinds/validation";
import type { ErrorType, FieldError } from "#cloud/kube-api/schema";
import { asError } from "#shared/errors";
import { itemsBefore } from "./validate-value.ts";
import { isObject, itemsOf, ownField, textOf, type Json, type JsonObject } from "#shared/json";

/** A rule of `x-kubernetes-validations`, compiled. */
interface Rule {
  readonly text: string;
  readonly message: string;
  readonly messageExpression: Expression | undefined;
  readonly reason: ErrorType;
  readonly fieldPath: string;
  /** It compares with the value before the update. */
  readonly isTransition: boolean;
  /** `oldSelf` is an optional, and the rule holds for new values too. */
  readonly takesNone: boolean;
  readonly expression: Expression;
}

/** Of a rule; with `optionalOldSelf` the earlier value is an optional. */
function variablesOf(rule: JsonObject): string[] {
  return ["self", rule["optionalOldSelf"] === true ? "oldSelf:optional<dyn>" : "oldSelf"];
}

const reasons = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
const known = new WeakMap<JsonObject, readonly Rule[]>();
const withRules = new WeakMap<JsonObject, boolean>();

/** Where a schema with rules is. */
export interface RulePlace {
  readonly path: string;
  /** The whole object. */
  readonly root: boolean;
  /** A list or map around it whose items have no earlier value. */
  readonly uncorrelatable: string | undefined;
}

/** Problems of the rules of one schema, which are compiled. */
export function ruleProblems(schema: JsonObject, place: RulePlace): FieldError[] {
  const seen = fieldsOf(schema, place.root);
  return itemsOf(schema, "x-kubernetes-validations").flatMap((rule, index) => {
    const path = `${place.path}.x-kubernetes-validations[${index}]`;
    const problems = ["rule", "messageExpression"].flatMap((field) =>
      expressionProblems(rule, { path: `${path}.${field}`, field, schema: seen }),
    );
    return [...problems, ...shapeProblems(rule, path, seen), ...transitionProblems(rule, path, place)];
  });
}

function expressionProblems(
  rule: JsonObject,
  { path, field, schema }: { readonly path: string; readonly field: string; readonly schema: JsonObject },
): FieldError[] {
  const text = textOf(rule, field);
  if (text === "" && field === "messageExpression") return [];
  if (text.trim() === "") return [invalid(path, text, "rule is empty")];
  const compiled = compileExpression(text, variablesOf(rule), { self: schema });
  if (typeof compiled === "string") return [invalid(path, text, `compilation failed: ERROR: ${compiled}`)];
  const wanted = field === "rule" ? "bool" : "string";
  return [wanted, "dyn"].includes(compiled.type)
    ? []
    : [invalid(path, text, `${field === "rule" ? "cel expression" : field} must evaluate to a ${wanted}`)];
}

function shapeProblems(rule: JsonObject, path: string, schema: JsonObject): FieldError[] {
  const reason = textOf(rule, "reason");
  const fieldPath = textOf(rule, "fieldPath");
  return [
    ...(reason === "" || reasons.includes(reason) ? [] : [notSupported(`${path}.reason`, reason, reasons)]),
    ...(fieldPath === "" || leadsSomewhere(fieldPath, schema)
      ? []
      : [invalid(`${path}.fieldPath`, fieldPath, "fieldPath must be a valid path")]),
  ];
}

/** A step of a `fieldPath`: `.name` or `['name']`. */
const pathStep = /^(?:\.([A-Za-z_$][\w$]*)|\['([^']+)'\])/;

/** Whether a schema declares the field of a path such as `.spec.size` or `['my-field']`. */
function leadsSomewhere(path: string, schema: JsonObject): boolean {
  let [rest, at]: [string, Json | undefined] = [path, schema];
  while (rest !== "") {
    const step = pathStep.exec(rest);
    const name = step?.[1] ?? step?.[2];
    if (!step || name === undefined || !isObject(at)) return false;
    const { properties, additionalProperties }: JsonObject = at;
    at = (isObject(properties) ? ownField(properties, name) : undefined) ?? additionalProperties;
    rest = rest.slice(step[0].length);
  }
  return at !== undefined;
}

function transitionProblems(rule: JsonObject, path: string, { uncorrelatable }: RulePlace): FieldError[] {
  const expression = compileExpression(textOf(rule, "rule"), variablesOf(rule));
  if (typeof expression === "string") return [];
  const { optionalOldSelf } = rule;
  if (!expression.uses("oldSelf"))
    return optionalOldSelf === true
      ? [invalid(`${path}.optionalOldSelf`, true, "may not be set if oldSelf is not used in rule")]
      : [];
  return uncorrelatable === undefined
    ? []
    : [
        invalid(
          `${path}.rule`,
          textOf(rule, "rule"),
          `oldSelf cannot be used on the uncorrelatable portion of the schema within ${uncorrelatable}`,
        ),
      ];
}

const text: JsonObject = { type: "string" };

/** The fields that rules may use: of a whole object also its type and its name. */
function fieldsOf(schema: JsonObject, root: boolean): JsonObject {
  if (!root && schema["x-kubernetes-embedded-resource"] !== true) return schema;
  const properties = isObject(schema.properties) ? schema.properties : {};
  const metadata = { type: "object", properties: { name: text, generateName: text } };
  return { ...schema, properties: { ...properties, apiVersion: text, kind: text, metadata } };
}

function rulesOf(schema: JsonObject): readonly Rule[] {
  const found = known.get(schema);
  if (found) return found;
  const rules = itemsOf(schema, "x-kubernetes-validations").flatMap((rule) => readRule(rule) ?? []);
  known.set(schema, rules);
  return rules;
}

function readRule(rule: JsonObject): Rule | undefined {
  const expression = compileExpression(textOf(rule, "rule"), variablesOf(rule));
  if (typeof expression === "string") return undefined;
  const messageText = textOf(rule, "messageExpression");
  const messageExpression =
    messageText === "" ? undefined : compileExpression(messageText, variablesOf(rule));
  return {
    text: textOf(rule, "rule").trim(),
    message: textOf(rule, "message").trim(),
    messageExpression: typeof messageExpression === "string" ? undefined : messageExpression,
    // Validated with the definition: it has no other values.
    reason: (textOf(rule, "reason") || "FieldValueInvalid") as ErrorType,
    fieldPath: textOf(rule, "fieldPath"),
    isTransition: expression.uses("oldSelf"),
    takesNone: rule["optionalOldSelf"] === true,
    expression,
  };
}

/** Whether a schema has rules, at any depth. */
export function hasRules(schema: JsonObject): boolean {
  const found = withRules.get(schema);
  if (found !== undefined) return found;
  const { properties, items, additionalProperties } = schema;
  const below = [...Object.values(isObject(properties) ? properties : {}), items, additionalProperties];
  const has = rulesOf(schema).length > 0 || below.filter(isObject).some(hasRules);
  withRules.set(schema, has);
  return has;
}

interface Checking {
  readonly path: string;
  /** The value before an update, where it can be found; undefined: there is none. */
  readonly old: Json | undefined;
  readonly errors: FieldError[];
  readonly meter: Meter;
}

/** Steps of all rules of one object: half a second at most. */
const mostSteps = 4_000_000;
/** As of a schema's other errors. */
const mostErrors = 50;

/** Errors of an object by the rules of its schema (`x-kubernetes-validations`, KEP-2876). */
export function validateRules(
  schema: JsonObject,
  object: JsonObject,
  old: JsonObject | undefined,
): FieldError[] {
  if (!hasRules(schema)) return [];
  const errors: FieldError[] = [];
  checkRules(schema, object, { path: "", old, errors, meter: { steps: mostSteps } });
  return errors;
}

function checkRules(schema: JsonObject, value: Json, here: Checking): void {
  if (here.errors.length >= mostErrors || here.meter.steps < 0 || !hasRules(schema)) return;
  const rules = appliedRules(schema, value, here);
  if (rules.length > 0) applyRules(rules, { schema, value }, here);
  if (Array.isArray(value)) checkItems(schema, value, here);
  else if (isObject(value)) checkFields(schema, value, here);
}

/** A value that is as before need not meet rules that came after it: "ratcheting", KEP-4008. */
function appliedRules(schema: JsonObject, value: Json, { old }: Checking): readonly Rule[] {
  const rules = rulesOf(schema);
  if (rules.length === 0) return rules;
  const isNew = old === undefined || !Bun.deepEquals(value, old);
  return rules.filter(({ isTransition, takesNone }) =>
    isTransition ? takesNone || old !== undefined : isNew,
  );
}

function applyRules(
  rules: readonly Rule[],
  { schema, value }: { readonly schema: JsonObject; readonly value: Json },
  here: Checking,
): void {
  const self = celValue(value, schema);
  const oldSelf = here.old === undefined ? undefined : celValue(here.old, schema);
  for (const rule of rules) {
    const old = rule.takesNone ? optionalValue(oldSelf) : oldSelf;
    const values = { self, ...(old !== undefined && { oldSelf: old }) };
    const failure = failureOf(rule, values, here.meter);
    if (failure === undefined) continue;
    const field = `${here.path}${spelledPath(rule.fieldPath)}`.replace(/^\./, "") || "<nil>";
    here.errors.push({ reason: rule.reason, field, message: causeOf(rule.reason, value, failure) });
  }
}

/** `['my-field']` is shown as `[my-field]`. */
function spelledPath(path: string): string {
  return path.replaceAll(/\['([^']+)'\]/g, "[$1]");
}

const starts: Readonly<Record<string, string>> = {
  FieldValueForbidden: "Forbidden: ",
  FieldValueRequired: "Required value: ",
};

function causeOf(reason: ErrorType, value: Json, text: string): string {
  const type = Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
  const shown = typeof value === "number" && Number.isInteger(value) ? "integer" : type;
  return `${starts[reason] ?? `${reason === "FieldValueDuplicate" ? "Duplicate" : "Invalid"} value: "${shown}": `}${text}`;
}

/** Why a rule does not hold; undefined: it does. */
function failureOf(rule: Rule, values: Readonly<Record<string, unknown>>, meter: Meter): string | undefined {
  try {
    const holds = rule.expression.evaluate(values, meter);
    return holds === true ? undefined : messageOf(rule, values, meter);
  } catch (error) {
    return `${asError(error).message} evaluating rule: ${rule.message || rule.text}`;
  }
}

function messageOf(rule: Rule, values: Readonly<Record<string, unknown>>, meter: Meter): string {
  const usual = rule.message || `failed rule: ${rule.text}`;
  const { messageExpression } = rule;
  return (messageExpression && madeMessage(messageExpression, values, meter)) ?? usual;
}

function checkFields(schema: JsonObject, value: JsonObject, here: Checking): void {
  const { properties, additionalProperties } = schema;
  const old = isObject(here.old) ? here.old : {};
  for (const [key, item] of Object.entries(value)) {
    const rule = (isObject(properties) ? ownField(properties, key) : undefined) ?? additionalProperties;
    if (!isObject(rule)) continue;
    const path = isObject(properties) ? `${here.path}.${key}` : `${here.path}[${key}]`;
    checkRules(rule, item, { ...here, path, old: ownField(old, key) });
  }
}

/** Items of a list with keys have their earlier value; those of other lists have no identity. */
function checkItems(schema: JsonObject, value: readonly Json[], here: Checking): void {
  const { items } = schema;
  if (!isObject(items)) return;
  const before = itemsBefore(schema, here.old);
  for (const [index, item] of value.entries())
    checkRules(items, item, { ...here, path: `${here.path}[${index}]`, old: before?.(item) });
}
