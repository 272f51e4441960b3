import { forbidden } from "#cloud/kube-api/kinds/validation";
import { listMapKeys, type FieldError } from "#cloud/kube-api/schema";
import { isObject, ownField, type Json, type JsonObject } from "#shared/json";
import { hasFormat } from "#cloud/kube-api/custom-resources/formats";
import { readPattern } from "#cloud/kube-api/custom-resources/patterns";
import { keysOf } from "./list-types.ts";
import { maxSteps, outOfBudget } from "./steps.ts";

/** Causes of an answer are a hundred at most; alternatives (anyOf) try many times. */
const maxErrors = 50;
/** As in structural.ts. */
const maxDepth = 200;
/** States of a pattern times characters that take the time of a step. */
const patternStepsAStep = 10;
/** Choices of an enum and characters of a value that a message shows. */
const mostChoices = 100;
const longestShown = 4096;

/**
 * Errors of a custom resource by its structural schema, with field paths like `spec.items[0].name`; texts of
 * kube-openapi/pkg/validation. Each visit of a value takes a step from a budget, as CEL rules do upstream: the work of
 * combined schemas is bounded by steps, not by the size of schema or value.
 * @param old what is replaced: a value that is as before is valid, although the schema has changed ("ratcheting", KEP-4008)
 */
export function validateValue(schema: JsonObject, value: Json, old?: Json): FieldError[] {
  const errors: FieldError[] = [];
  const budget = { steps: maxSteps };
  check(schema, value, { path: "", errors, depth: 0, budget, old });
  if (budget.steps < 0) errors.push(forbidden("<nil>", outOfBudget));
  return errors;
}

interface Checking {
  readonly path: string;
  readonly errors: FieldError[];
  readonly depth: number;
  readonly budget: { steps: number };
  /** The value before an update, where it can be found. */
  readonly old: Json | undefined;
}

/** @returns whether so much may still be done */
function spend({ budget }: Checking, steps: number): boolean {
  budget.steps -= steps;
  return budget.steps >= 0;
}

function check(schema: JsonObject, value: Json, here: Checking): void {
  if (here.errors.length >= maxErrors || here.depth > maxDepth || !spend(here, 1)) return;
  if ((value === null && schema.nullable === true) || isAsBefore(value, here)) return;
  if (!checkType(schema, value, here)) return;
  checkEnum(schema, value, here);
  if (typeof value === "string") checkText(schema, value, here);
  else if (typeof value === "number") checkNumber(schema, value, here);
  else if (Array.isArray(value)) checkList(schema, value, here);
  else if (isObject(value)) checkFields(schema, value, here);
  checkCombined(schema, value, here);
}

function isAsBefore(value: Json, { old }: Checking): boolean {
  return old !== undefined && Bun.deepEquals(value, old);
}

function checkType(schema: JsonObject, value: Json, here: Checking): boolean {
  if (schema["x-kubernetes-int-or-string"] === true) {
    if (typeof value === "string" || Number.isInteger(value)) return true;
    fail(here, "FieldValueTypeInvalid", value, `must be of type integer,string: ${quote(typeName(value))}`);
    return false;
  }
  const wanted = schema.type;
  if (typeof wanted !== "string" || wanted === "") return true;
  const actual = typeName(value);
  if (actual === wanted || (wanted === "number" && actual === "integer")) return true;
  const field = here.path === "" ? "<nil>" : here.path;
  here.errors.push({
    reason: "FieldValueTypeInvalid",
    field,
    message: `Invalid value: ${quote(actual)}: ${field} in body must be of type ${wanted}: ${quote(actual)}`,
  });
  return false;
}

function typeName(value: Json): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

function checkEnum(schema: JsonObject, value: Json, here: Checking): void {
  const choices = schema.enum;
  if (!Array.isArray(choices) || isChoice(choices, value, here)) return;
  const shown = choices.slice(0, mostChoices).map((choice) => quote(choice));
  const values = [...shown, ...(choices.length > mostChoices ? ["..."] : [])].join(", ");
  here.errors.push({
    reason: "FieldValueNotSupported",
    field: here.path,
    message: `Unsupported value: ${quote(value)}: supported values: ${values}`,
  });
}

interface Choices {
  readonly plain: ReadonlySet<Json>;
  readonly nested: readonly Json[];
}

const knownChoices = new WeakMap<Json[], Choices>();

function isChoice(choices: Json[], value: Json, here: Checking): boolean {
  let known = knownChoices.get(choices);
  if (!known) {
    const nested = choices.filter((choice) => typeof choice === "object" && choice !== null);
    known = { plain: new Set(choices), nested };
    knownChoices.set(choices, known);
  }
  if (typeof value !== "object" || value === null) return known.plain.has(value);
  if (!spend(here, known.nested.length)) return true;
  return known.nested.some((choice) => Bun.deepEquals(choice, value));
}

/** Characters as Go counts them. */
function lengthOf(text: string): number {
  let length = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0xdc00 || unit > 0xdfff || index === 0 || (text.charCodeAt(index - 1) & 0xfc00) !== 0xd800)
      length += 1;
  }
  return length;
}

function checkPattern(pattern: string, value: string, here: Checking): void {
  const read = readPattern(pattern);
  if ("error" in read) fail(here, "FieldValueInvalid", value, `should match '${pattern}'`);
  else if (!spend(here, (value.length * read.pattern.states) / patternStepsAStep)) return;
  else if (!read.pattern.test(value)) fail(here, "FieldValueInvalid", value, `should match '${pattern}'`);
}

function checkText(schema: JsonObject, value: string, here: Checking): void {
  const { minLength, maxLength, pattern, format } = schema;
  const length = minLength === undefined && maxLength === undefined ? 0 : lengthOf(value);
  if (typeof maxLength === "number" && length > maxLength)
    here.errors.push({
      reason: "FieldValueTooLong",
      field: here.path,
      message: `Too long: may not be longer than ${maxLength}`,
    });
  if (typeof minLength === "number" && length < minLength)
    fail(here, "FieldValueInvalid", value, `should be at least ${minLength} chars long`);
  if (typeof pattern === "string") checkPattern(pattern, value, here);
  if (typeof format === "string" && !hasFormat(value, format))
    fail(here, "FieldValueInvalid", value, `must be of type ${format}: ${quote(value)}`);
}

function checkNumber(schema: JsonObject, value: number, here: Checking): void {
  checkMinimum(schema, value, here);
  checkMaximum(schema, value, here);
  const { multipleOf, format } = schema;
  if (typeof multipleOf === "number" && multipleOf > 0 && !isMultiple(value, multipleOf))
    fail(here, "FieldValueInvalid", value, `should be a multiple of ${multipleOf}`);
  const limit = format === "int32" ? 2 ** 31 : 2 ** 63;
  if (schema.type === "integer" && (value < -limit || value >= limit))
    fail(here, "FieldValueInvalid", value, `should be of type ${format === "int32" ? "int32" : "int64"}`);
}

function checkMinimum(schema: JsonObject, value: number, here: Checking): void {
  const { minimum } = schema;
  if (typeof minimum !== "number") return;
  const open = schema.exclusiveMinimum === true;
  if (open ? value <= minimum : value < minimum)
    fail(here, "FieldValueInvalid", value, `should be greater than ${open ? "" : "or equal to "}${minimum}`);
}

function checkMaximum(schema: JsonObject, value: number, here: Checking): void {
  const { maximum } = schema;
  if (typeof maximum !== "number") return;
  const open = schema.exclusiveMaximum === true;
  if (open ? value >= maximum : value > maximum)
    fail(here, "FieldValueInvalid", value, `should be less than ${open ? "" : "or equal to "}${maximum}`);
}

function isMultiple(value: number, step: number): boolean {
  const ratio = value / step;
  return Math.abs(ratio - Math.round(ratio)) < 1e-9;
}

function checkList(schema: JsonObject, value: Json[], here: Checking): void {
  const { minItems, maxItems, items } = schema;
  if (typeof maxItems === "number" && value.length > maxItems)
    here.errors.push({
      reason: "FieldValueTooMany",
      field: here.path,
      message: `Too many: ${value.length}: must have at most ${maxItems} items`,
    });
  if (typeof minItems === "number" && value.length < minItems)
    fail(here, "FieldValueInvalid", value.length, `should have at least ${minItems} items`);
  if (!isObject(items)) return;
  const before = itemsBefore(schema, here.old);
  for (const [index, item] of value.entries()) {
    const old = before?.(item);
    check(items, item, { ...here, path: `${here.path}[${index}]`, depth: here.depth + 1, old });
  }
}

/** The earlier item of the same keys; those of other lists have no identity. */
export function itemsBefore(
  schema: JsonObject,
  old: Json | undefined,
): ((item: Json) => Json | undefined) | undefined {
  if (schema["x-kubernetes-list-type"] !== "map" || !Array.isArray(old)) return undefined;
  const keys = listMapKeys(schema);
  const idOf = (item: Json): string => JSON.stringify(keysOf(item, keys));
  const known = new Map(old.map((item) => [idOf(item), item]));
  return (item) => known.get(idOf(item));
}

function checkFields(schema: JsonObject, value: JsonObject, here: Checking): void {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const { required, additionalProperties } = schema;
  if (Array.isArray(required)) checkRequired(required, value, here);
  checkSize(schema, Object.keys(value).length, here);
  for (const [key, item] of Object.entries(value)) {
    const property = Object.hasOwn(properties, key) ? properties[key] : additionalProperties;
    if (!isObject(property)) continue;
    const old = isObject(here.old) ? ownField(here.old, key) : undefined;
    check(property, item, { ...here, path: join(here.path, key), depth: here.depth + 1, old });
  }
}

function checkRequired(names: readonly Json[], value: JsonObject, here: Checking): void {
  if (!spend(here, names.length)) return;
  for (const name of names) {
    if (here.errors.length >= maxErrors) return;
    if (typeof name === "string" && !Object.hasOwn(value, name))
      here.errors.push({
        reason: "FieldValueRequired",
        field: join(here.path, name),
        message: "Required value",
      });
  }
}

function checkSize({ minProperties, maxProperties }: JsonObject, size: number, here: Checking): void {
  if (typeof minProperties === "number" && size < minProperties)
    fail(here, "FieldValueInvalid", size, `should have at least ${minProperties} properties`);
  if (typeof maxProperties === "number" && size > maxProperties)
    here.errors.push({
      reason: "FieldValueTooMany",
      field: here.path,
      message: `Too many: ${size}: must have at most ${maxProperties} items`,
    });
}

function checkCombined(schema: JsonObject, value: Json, here: Checking): void {
  const { allOf, anyOf, oneOf, not } = schema;
  for (const part of listOf(allOf)) check(part, value, { ...here, depth: here.depth + 1 });
  const any = listOf(anyOf);
  if (any.length > 0 && !any.some((part) => holds(part, value, here)))
    fail(here, "FieldValueInvalid", value, "must validate at least one schema (anyOf)");
  const one = listOf(oneOf);
  const matching = one.filter((part) => holds(part, value, here)).length;
  if (one.length > 0 && matching !== 1)
    fail(
      here,
      "FieldValueInvalid",
      value,
      `must validate one and only one schema (oneOf)${matching > 1 ? `. Found ${matching} valid alternatives` : ". Found none valid"}`,
    );
  if (isObject(not) && holds(not, value, here))
    fail(here, "FieldValueInvalid", value, "must not validate the schema (not)");
}

function holds(schema: JsonObject, value: Json, here: Checking): boolean {
  const errors: FieldError[] = [];
  check(schema, value, { ...here, errors, depth: here.depth + 1 });
  return errors.length === 0;
}

function listOf(value: Json | undefined): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function fail(here: Checking, reason: FieldError["reason"], value: Json, detail: string): void {
  const field = here.path === "" ? "<nil>" : here.path;
  const shown = isObject(value) || Array.isArray(value) ? quote(typeName(value)) : quote(value);
  here.errors.push({ reason, field, message: `Invalid value: ${shown}: ${field} in body ${detail}` });
}

/** A value as JSON, cut: a megabyte sent must not come back several times in the answer. */
function quote(value: Json): string {
  const text = JSON.stringify(typeof value === "string" ? value.slice(0, longestShown + 1) : value);
  return text.length > longestShown ? `${text.slice(0, longestShown)}...` : text;
}
