import { cloneJson, isObject, type Json, type JsonObject } from "#cloud/apischema";

/** Structural schemas at work: dropping what they do not name and filling what they default. */
const rootFields = new Set(["apiVersion", "kind", "metadata"]);
const maxDepth = 200;

export interface Pruned {
  readonly unknown: string[];
}

/** Drops fields the schema does not name, in place, and tells their paths. */
export function pruneObject(schema: JsonObject, object: JsonObject): Pruned {
  const unknown: string[] = [];
  pruneFields(schema, object, { path: "", unknown, embedded: true, depth: 0 });
  return { unknown };
}

interface Pruning {
  readonly path: string;
  readonly unknown: string[];
  /** A whole object of the API: apiVersion, kind and metadata are not the schema's business. */
  readonly embedded: boolean;
  readonly depth: number;
}

function pruneFields(schema: JsonObject, object: JsonObject, at: Pruning): void {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const additional = schema.additionalProperties;
  const keepAll = schema["x-kubernetes-preserve-unknown-fields"] === true || additional === true;
  for (const key of Object.keys(object)) {
    if (at.embedded && rootFields.has(key)) continue;
    const path = at.path === "" ? key : `${at.path}.${key}`;
    const property = Object.hasOwn(properties, key) ? properties[key] : undefined;
    const rule = isObject(property) ? property : isObject(additional) ? additional : undefined;
    if (rule !== undefined) pruneValue(rule, object[key], { ...at, path });
    else if (!keepAll) {
      at.unknown.push(path);
      delete object[key];
    }
  }
}

function pruneValue(schema: JsonObject, value: Json | undefined, at: Pruning): void {
  if (at.depth > maxDepth) return;
  const deeper = { ...at, depth: at.depth + 1, embedded: schema["x-kubernetes-embedded-resource"] === true };
  if (Array.isArray(value)) {
    const { items } = schema;
    if (!isObject(items)) return;
    for (const [index, item] of value.entries())
      pruneValue(items, item, { ...deeper, path: `${at.path}[${index}]` });
  } else if (isObject(value)) pruneFields(schema, value, deeper);
}

/** Fills defaults in place; null becomes the default where null is not allowed. */
export function defaultObject(schema: JsonObject, object: JsonObject): void {
  fill(schema, object, true);
}

function fill(schema: JsonObject, value: Json | undefined, root: boolean): void {
  if (Array.isArray(value)) {
    if (isObject(schema.items)) for (const item of value) fill(schema.items, item, false);
  } else if (isObject(value)) fillFields(schema, value, root);
}

function fillFields(schema: JsonObject, value: JsonObject, root: boolean): void {
  const properties = isObject(schema.properties) ? schema.properties : {};
  for (const [key, property] of Object.entries(properties))
    if (isObject(property) && !(root && rootFields.has(key))) fillProperty(property, value, key);
  const { additionalProperties } = schema;
  if (!isObject(additionalProperties)) return;
  for (const [key, item] of Object.entries(value))
    if (!Object.hasOwn(properties, key)) fill(additionalProperties, item, false);
}

function fillProperty(property: JsonObject, object: JsonObject, key: string): void {
  const fallback = property.default;
  const missing = !Object.hasOwn(object, key);
  const badNull = object[key] === null && property.nullable !== true;
  if (fallback !== undefined && (missing || badNull)) object[key] = cloneJson(fallback);
  else if (badNull && object[key] === null) delete object[key];
  fill(property, object[key], false);
}
