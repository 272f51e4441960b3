import type { ErrorType, FieldError } from "#cloud/kube-api/schema";
import { isObject, textOf, type Json, type JsonObject } from "#shared/json";

/** Causes with the texts of apimachinery/util/validation/field/errors.go. */
export function required(field: string, detail = ""): FieldError {
  return cause("FieldValueRequired", field, detail === "" ? "Required value" : `Required value: ${detail}`);
}

export function invalid(field: string, value: Json | undefined, detail: string): FieldError {
  return cause("FieldValueInvalid", field, `Invalid value: ${shown(value)}: ${detail}`);
}

export function notSupported(field: string, value: string, supported: readonly string[]): FieldError {
  const values = supported.map((one) => JSON.stringify(one)).join(", ");
  return cause(
    "FieldValueNotSupported",
    field,
    `Unsupported value: ${shown(value)}: supported values: ${values}`,
  );
}

export function duplicate(field: string, value: Json): FieldError {
  return cause("FieldValueDuplicate", field, `Duplicate value: ${shown(value)}`);
}

export function forbidden(field: string, detail: string): FieldError {
  return cause("FieldValueForbidden", field, `Forbidden: ${detail}`);
}

export function notFound(field: string, value: string): FieldError {
  return cause("FieldValueNotFound", field, `Not found: ${shown(value)}`);
}

export function tooLong(field: string, limit: number): FieldError {
  return cause("FieldValueTooLong", field, `Too long: must have at most ${limit} bytes`);
}

export function tooMany(field: string, found: number, limit: number): FieldError {
  return cause("FieldValueTooMany", field, `Too many: ${found}: must have at most ${limit} items`);
}

/** Where a field is; "" is the object itself. */
export function placeOf(path: string, field: string): string {
  return path === "" ? field : `${path}.${field}`;
}

/** A required field that has one of some values. */
export function requiredOneOf(
  object: JsonObject,
  field: string,
  rule: { path: string; values: readonly string[] },
): FieldError[] {
  const value = textOf(object, field);
  const place = placeOf(rule.path, field);
  if (value === "") return [required(place)];
  return rule.values.includes(value) ? [] : [notSupported(place, value, rule.values.toSorted())];
}

/** As `requiredOneOf`, of a field that may be absent; the message has the values in their order. */
export function optionalOneOf(
  object: JsonObject | undefined,
  field: string,
  rule: { path: string; values: readonly string[] },
): FieldError[] {
  const value = textOf(object, field);
  return value === "" || rule.values.includes(value)
    ? []
    : [notSupported(placeOf(rule.path, field), value, rule.values)];
}

/** Twice what an answer holds (outcome.ts): more are not returned, and each costs to write. */
const mostErrors = 200;

/** Errors of the items of a list; stops at `mostErrors`. */
export function eachOf<T>(items: Iterable<T>, judge: (item: T, index: number) => FieldError[]): FieldError[] {
  const errors: FieldError[] = [];
  let index = 0;
  for (const item of items) {
    for (const error of judge(item, index)) errors.push(error);
    if (errors.length >= mostErrors) break;
    index += 1;
  }
  return errors;
}

function cause(reason: ErrorType, field: string, message: string): FieldError {
  return { reason, field, message };
}

/** Characters of a refused value in a message. */
const longestShown = 4096;

/** A refused value, truncated: a megabyte sent must not be repeated several times in the answer. */
function shown(value: Json | undefined): string {
  if (typeof value === "string" && value.length > longestShown) {
    return `${JSON.stringify(value.slice(0, longestShown))}... (${value.length} characters)`;
  }
  const text = goValue(value);
  return text.length > longestShown ? `${text.slice(0, longestShown)}... (${text.length} characters)` : text;
}

/** A value as Go's `%q`, `%v` or `%#v` prints it in these texts; objects of strings as string maps, others as JSON. */
function goValue(value: Json | undefined): string {
  if (value === undefined || value === null) return '""';
  if (typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string"))
    return `[]string{${value.map((item) => JSON.stringify(item)).join(", ")}}`;
  if (isObject(value) && Object.values(value).every((item) => typeof item === "string")) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `map[string]string{${entries.map(([key, item]) => `${JSON.stringify(key)}:${JSON.stringify(item)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}
