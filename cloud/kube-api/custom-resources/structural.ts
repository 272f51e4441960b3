import { decodeMetadata } from "#cloud/kube-api/schema";
import { cloneJson, isObject, ownField, setField, type Json, type JsonObject } from "#shared/json";

/*
 * Pruning and defaulting by a structural schema, after apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting}.
 * Both walk schema and object side by side; neither looks into allOf, anyOf, oneOf and not, which cannot add fields to a
 * structural schema.
 */
const rootFields: ReadonlySet<string> = new Set(["apiVersion", "kind", "metadata"]);
const noFields: ReadonlySet<string> = new Set();
/** Levels of an object; schemas are refused past half of that. */
const maxDepth = 200;

export interface Pruned {
  readonly unknown: string[];
}

/** Drops fields that the schema does not specify, in place. @returns their paths */
export function pruneObject(schema: JsonObject, object: JsonObject): Pruned {
  const unknown: string[] = [];
  pruneFields(schema, object, { path: "", unknown, embedded: true, depth: 0 });
  return { unknown };
}

interface Pruning {
  readonly path: string;
  readonly unknown: string[];
  /** A whole object of the API: apiVersion, kind and metadata are outside of the schema. */
  readonly embedded: boolean;
  readonly depth: number;
}

function pruneFields(schema: JsonObject, object: JsonObject, here: Pruning): void {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const additional = schema.additionalProperties;
  const keepAll = schema["x-kubernetes-preserve-unknown-fields"] === true || additional === true;
  const unspecified = here.embedded ? rootFields : noFields;
  if (here.embedded && here.path !== "") pruneMetadata(object, here);
  for (const key of Object.keys(object).filter((one) => !unspecified.has(one))) {
    const path = here.path === "" ? key : `${here.path}.${key}`;
    const rule = [ownField(properties, key), additional].find(isObject);
    if (rule !== undefined) pruneValue(rule, object[key], { ...here, path });
    else if (!keepAll) {
      here.unknown.push(path);
      delete object[key];
    }
  }
}

/** Metadata of an object within another one; that of the object itself is decoded before. */
function pruneMetadata(object: JsonObject, { path, unknown }: Pruning): void {
  const found = decodeMetadata(object, "").unknown;
  unknown.push(...found.map((field) => `${path}.${field}`));
}

function pruneValue(schema: JsonObject, value: Json | undefined, here: Pruning): void {
  if (here.depth > maxDepth) return;
  const deeper = {
    ...here,
    depth: here.depth + 1,
    embedded: schema["x-kubernetes-embedded-resource"] === true,
  };
  if (Array.isArray(value)) {
    const { items } = schema;
    if (!isObject(items)) return;
    for (const [index, item] of value.entries())
      pruneValue(items, item, { ...deeper, path: `${here.path}[${index}]` });
  } else if (isObject(value)) pruneFields(schema, value, deeper);
}

/** Bytes that defaults may add to an object, as large as a request: the default of a list item is multiplied, and defaults may nest. */
const mostFilledBytes = 3 * 1024 * 1024;
/** A field costs this much beside its value. */
const bytesAField = 16;

/**
 * Fills in defaults in place; a null becomes the default where null is not allowed.
 * @returns false when they exceed `mostFilledBytes`: the object is partly filled and has to be refused
 */
export function defaultObject(schema: JsonObject, object: JsonObject): boolean {
  const room = { bytes: mostFilledBytes };
  fillFields(schema, object, { room, root: true });
  return room.bytes >= 0;
}

interface Filling {
  readonly room: { bytes: number };
  readonly root: boolean;
}

function fill(schema: JsonObject, value: Json | undefined, room: Filling["room"]): void {
  if (room.bytes < 0) return;
  if (Array.isArray(value)) {
    if (isObject(schema.items)) for (const item of value) fill(schema.items, item, room);
  } else if (isObject(value)) fillFields(schema, value, { room, root: false });
}

function fillFields(schema: JsonObject, value: JsonObject, { room, root }: Filling): void {
  const isOwn = (key: string): boolean => !(root && rootFields.has(key));
  for (const preset of defaultsOf(schema)) {
    if (isOwn(preset.key)) fillDefault(preset, value, room);
    if (room.bytes < 0) return;
  }
  const properties = isObject(schema.properties) ? schema.properties : {};
  for (const key of Object.keys(value).filter(isOwn)) {
    const property = ownField(properties, key);
    const rule = property ?? schema.additionalProperties;
    const badNull = isObject(property) && value[key] === null && property.nullable !== true;
    if (badNull) delete value[key];
    else if (isObject(rule)) fill(rule, value[key], room);
  }
}

function fillDefault(preset: Default, value: JsonObject, room: Filling["room"]): void {
  const was = ownField(value, preset.key);
  if (was !== undefined && (was !== null || preset.nullable)) return;
  room.bytes -= preset.bytes;
  if (room.bytes >= 0) setField(value, preset.key, cloneJson(preset.fallback));
}

interface Default {
  readonly key: string;
  readonly fallback: Json;
  readonly nullable: boolean;
  readonly bytes: number;
}

const knownDefaults = new WeakMap<JsonObject, readonly Default[]>();

function defaultsOf(schema: JsonObject): readonly Default[] {
  const known = knownDefaults.get(schema);
  if (known) return known;
  const { properties } = schema;
  const found = Object.entries(isObject(properties) ? properties : {}).flatMap(([key, property]) => {
    if (!isObject(property) || property.default === undefined) return [];
    const fallback = property.default;
    const bytes = JSON.stringify(fallback).length + bytesAField;
    return [{ key, fallback, nullable: property.nullable === true, bytes }];
  });
  knownDefaults.set(schema, found);
  return found;
}

const knownToDefault = new WeakMap<JsonObject, boolean>();

/** Whether a schema fills in anything, at any depth. */
export function hasDefaults(schema: JsonObject): boolean {
  const known = knownToDefault.get(schema);
  if (known !== undefined) return known;
  const { properties, items, additionalProperties } = schema;
  const below = [...Object.values(isObject(properties) ? properties : {}), items, additionalProperties];
  const found = defaultsOf(schema).length > 0 || below.filter(isObject).some(hasDefaults);
  knownToDefault.set(schema, found);
  return found;
}
