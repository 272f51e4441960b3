import { isObject, ownField, type Json, type JsonObject } from "#shared/json";
import { definition, definitionName, type Definition, type FieldType } from "./definitions.ts";
import type { KindInfo } from "./vocabulary.ts";

/*
 * How server-side apply sees a value: as a whole, by field, or by item (KEP-555). Of builtin kinds that is what the markers
 * listType, listMapKey, mapType and structType of the Go types say, of custom kinds x-kubernetes-list-type, -list-map-keys and
 * -map-type of the schema of their version.
 */
export type Shape =
  | { readonly type: "atomic" }
  | FieldsShape
  /** A list of scalars, each once. */
  | { readonly type: "set" }
  | KeyedShape
  /** Below fields that a schema does not know: objects are taken by field, all else as a whole. */
  | { readonly type: "free" };

interface FieldsShape {
  readonly type: "fields";
  readonly at: (name: string) => Shape;
}

/** A list whose items are known by some of their fields. */
export interface KeyedShape {
  readonly type: "keyed";
  /** in alphabetical order */
  readonly keys: readonly string[];
  /** Keys that an item may omit, and what they are then. */
  readonly defaults: JsonObject;
  readonly item: Shape;
}

const atomic: Shape = { type: "atomic" };
const set: Shape = { type: "set" };
const free: Shape = { type: "free" };

/** How objects of a kind are applied. */
export function shapeOf(kind: Pick<KindInfo, "group" | "version" | "kind" | "custom">): Shape {
  return kind.custom ? shapeOfSchema(kind.custom.schema, true) : shapeOfDefinition(definitionName(kind));
}

/** Structs that are owned as a whole (`+structType=atomic`). */
const atomicStructs = new Set([
  "meta.v1.LabelSelector",
  "core.v1.ConfigMapKeySelector",
  "core.v1.LocalObjectReference",
  "core.v1.NodeSelector",
  "core.v1.NodeSelectorTerm",
  "core.v1.ObjectFieldSelector",
  "core.v1.ObjectReference",
  "core.v1.ResourceFieldSelector",
  "core.v1.ScopeSelector",
  "core.v1.SecretKeySelector",
  "core.v1.SecretReference",
  "core.v1.TopologySelectorTerm",
  "core.v1.TypedLocalObjectReference",
  "rbac.v1.RoleRef",
]);
/** Maps that are owned as a whole (`+mapType=atomic`). */
const atomicMaps = new Set(["nodeSelector", "selector"]);
/** The only list key of builtin kinds that has a default. */
const builtinDefaults: JsonObject = { protocol: "TCP" };

const knownDefinitions = new Map<string, Shape>();

function shapeOfDefinition(name: string): Shape {
  const known = knownDefinitions.get(name);
  if (known) return known;
  const made = shapeOfStruct(definition(name));
  knownDefinitions.set(name, made);
  return made;
}

function shapeOfStruct(fields: Definition | undefined): Shape {
  const known = new Map<string, Shape>();
  const make = (name: string): Shape => {
    const type = fields?.get(name);
    return type === undefined ? atomic : shapeOfType(name, type);
  };
  return { type: "fields", at: (name) => remembered(known, name, make) };
}

function remembered(known: Map<string, Shape>, name: string, make: (name: string) => Shape): Shape {
  const found = known.get(name);
  if (found) return found;
  const made = make(name);
  // Names of map entries come from clients: only those that are of a shape of their own are kept.
  if (made !== atomic) known.set(name, made);
  return made;
}

const everyEntryWhole: Shape = { type: "fields", at: () => atomic };

function shapeOfType(name: string, type: FieldType): Shape {
  if (type.shape === "list") return shapeOfListType(type);
  if (type.shape === "map") return atomicMaps.has(name) ? atomic : everyEntryWhole;
  return type.leaf !== "#" || atomicStructs.has(type.ref) ? atomic : shapeOfDefinition(type.ref);
}

function shapeOfListType({ listKeys, leaf, ref }: FieldType): Shape {
  if (listKeys === undefined) return atomic;
  if (listKeys.length === 0) return set;
  const item = leaf === "#" ? shapeOfDefinition(ref) : atomic;
  return { type: "keyed", keys: listKeys.toSorted(), defaults: builtinDefaults, item };
}

const knownSchemas = new WeakMap<JsonObject, Shape>();

function shapeOfSchema(schema: JsonObject, isResource: boolean): Shape {
  const known = knownSchemas.get(schema);
  if (known) return known;
  const made = makeShape(schema, isResource);
  knownSchemas.set(schema, made);
  return made;
}

function makeShape(schema: JsonObject, isResource: boolean): Shape {
  if (schema.items !== undefined || schema.type === "array") return shapeOfList(schema);
  const keepsUnknown = schema["x-kubernetes-preserve-unknown-fields"] === true;
  if (schema.type !== "object" && !keepsUnknown) return atomic;
  if (schema["x-kubernetes-map-type"] === "atomic") return atomic;
  const properties = isObject(schema.properties) ? schema.properties : {};
  const { additionalProperties } = schema;
  const others = isObject(additionalProperties) ? shapeOfSchema(additionalProperties, false) : free;
  return {
    type: "fields",
    at: (name) => {
      if (isResource && name === "metadata") return shapeOfDefinition("meta.v1.ObjectMeta");
      const property = ownField(properties, name);
      if (!isObject(property)) return others;
      return shapeOfSchema(property, property["x-kubernetes-embedded-resource"] === true);
    },
  };
}

function shapeOfList(schema: JsonObject): Shape {
  const { items } = schema;
  const listType = schema["x-kubernetes-list-type"];
  if (listType === "set") return set;
  if (listType !== "map" || !isObject(items)) return atomic;
  const keys = listMapKeys(schema);
  if (keys.length === 0) return atomic;
  const isResource = items["x-kubernetes-embedded-resource"] === true;
  const defaults = keyDefaults(items, keys);
  return { type: "keyed", keys: keys.toSorted(), defaults, item: shapeOfSchema(items, isResource) };
}

/** The names in `x-kubernetes-list-map-keys` of a schema. */
export function listMapKeys(schema: JsonObject): string[] {
  const keys = schema["x-kubernetes-list-map-keys"];
  return Array.isArray(keys) ? keys.filter((key) => typeof key === "string") : [];
}

function keyDefaults(items: JsonObject, keys: readonly string[]): JsonObject {
  const properties = isObject(items.properties) ? items.properties : {};
  const pairs = keys.flatMap((key): [string, Json][] => {
    const property = ownField(properties, key);
    const fallback = isObject(property) ? property.default : undefined;
    return fallback === undefined ? [] : [[key, fallback]];
  });
  return Object.fromEntries(pairs);
}
