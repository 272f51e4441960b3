import {
  celValue,
  compileExpression,
  type Expression,
  type Meter,
} from "#cloud/kube-api/custom-resources/cel";
import { invalid } from "#cloud/kube-api/kinds/validation";
import type { ErrorType, FieldError } from "#cloud/kube-api/schema";
import { asError } from "#shared/errors";
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
  readonly expression: Expression;
}

const variables = ["self", "oldSelf"];
const known = new WeakMap<JsonObject, readonly Rule[]>();
const withRules = new WeakMap<JsonObject, boolean>();

/** Problems of the rules of one schema, which are compiled. */
export function ruleProblems(schema: JsonObject, path: string): FieldError[] {
  return itemsOf(schema, "x-kubernetes-validations").flatMap((rule, index) =>
    ["rule", "messageExpression"].flatMap((field) => {
      const text = textOf(rule, field);
      if (text === "" && field === "messageExpression") return [];
      const compiled = text.trim() === "" ? "rule is empty" : compileExpression(text, variables);
      if (typeof compiled !== "string") return [];
      const at = `${path}.x-kubernetes-validations[${index}].${field}`;
      return [invalid(at, text, `compilation failed: ERROR: ${compiled}`)];
    }),
  );
}

function rulesOf(schema: JsonObject): readonly Rule[] {
  const found = known.get(schema);
  if (found) return found;
  const rules = itemsOf(schema, "x-kubernetes-validations").flatMap((rule) => readRule(rule) ?? []);
  known.set(schema, rules);
  return rules;
}

function readRule(rule: JsonObject): Rule | undefined {
  const text = textOf(rule, "rule");
  const expression = compileExpression(text, variables);
  if (typeof expression === "string") return undefined;
  const messageText = textOf(rule, "messageExpression");
  const messageExpression = messageText === "" ? undefined : compileExpression(messageText, variables);
  return {
    text: text.trim(),
    message: textOf(rule, "message"),
    messageExpression: typeof messageExpression === "string" ? undefined : messageExpression,
    // Validated with the definition: it has no other values.
    reason: (textOf(rule, "reason") || "FieldValueInvalid") as ErrorType,
    fieldPath: textOf(rule, "fieldPath"),
    isTransition: expression.uses("oldSelf"),
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
  const rules = rulesOf(schema).filter((rule) => !rule.isTransition || here.old !== undefined);
  if (rules.length > 0) applyRules(rules, { schema, value }, here);
  if (Array.isArray(value)) checkItems(schema, value, here);
  else if (isObject(value)) checkFields(schema, value, here);
}

function applyRules(
  rules: readonly Rule[],
  { schema, value }: { readonly schema: JsonObject; readonly value: Json },
  here: Checking,
): void {
  const self = celValue(value, schema);
  const values = { self, ...(here.old !== undefined && { oldSelf: celValue(here.old, schema) }) };
  for (const rule of rules) {
    const failure = failureOf(rule, values, here.meter);
    if (failure === undefined) continue;
    const field = `${here.path}${rule.fieldPath}`.replace(/^\./, "") || "<nil>";
    here.errors.push({ reason: rule.reason, field, message: causeOf(rule.reason, value, failure) });
  }
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
  if (!rule.messageExpression) return usual;
  try {
    const text = rule.messageExpression.evaluate(values, meter);
    return typeof text === "string" && text.trim() !== "" ? text : usual;
  } catch {
    return usual;
  }
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
  const keys = schema["x-kubernetes-list-type"] === "map" ? schema["x-kubernetes-list-map-keys"] : undefined;
  const idOf = (item: Json): string =>
    JSON.stringify(
      isObject(item) && Array.isArray(keys)
        ? keys.map((key) => (typeof key === "string" ? (item[key] ?? null) : null))
        : null,
    );
  const before = Array.isArray(keys) && Array.isArray(here.old) ? here.old : [];
  const known = new Map(before.map((item) => [idOf(item), item]));
  for (const [index, item] of value.entries())
    checkRules(items, item, { ...here, path: `${here.path}[${index}]`, old: known.get(idOf(item)) });
}
