import { isObject, ownField, type Json, type JsonObject } from "#shared/json";
import { definition, type Definition, type FieldType } from "./definitions.ts";

/*
 * The fields of an object as `metadata.managedFields` lists them: list items by their keys, sets by value, atomic values as a
 * whole (the markers listType, listMapKey, mapType and structType of the Go types; KEP-555).
 */

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
/** List keys that have a default, by which an item is found without them. */
export const listKeyDefaults: JsonObject = { protocol: "TCP" };

/** The fields of an object as metadata.managedFields writes them; `name` is a definition, undefined for a custom schema. */
export function fieldsOfDefinition(name: string, object: JsonObject): JsonObject {
  return structFields(object, definition(name), true);
}

function structFields(object: JsonObject, shape: Definition | undefined, root = false): JsonObject {
  const fields: JsonObject = {};
  for (const [key, value] of Object.entries(object)) {
    if (root && (key === "apiVersion" || key === "kind")) continue;
    fields[`f:${key}`] =
      root && key === "metadata" && isObject(value)
        ? metadataFields(value)
        : fieldOf(key, value, shape?.get(key));
  }
  return fields;
}

const ownedByApi = new Set([
  "creationTimestamp",
  "deletionGracePeriodSeconds",
  "deletionTimestamp",
  "generation",
  "managedFields",
  "name",
  "namespace",
  "resourceVersion",
  "selfLink",
  "uid",
]);

function metadataFields(metadata: JsonObject): JsonObject {
  const owned = Object.fromEntries(Object.entries(metadata).filter(([key]) => !ownedByApi.has(key)));
  return structFields(owned, definition("meta.v1.ObjectMeta"));
}

function fieldOf(key: string, value: Json, type: FieldType | undefined): JsonObject {
  if (type === undefined || value === null) return {};
  if (type.shape === "list") return Array.isArray(value) ? listFields(value, type) : {};
  if (!isObject(value)) return {};
  if (type.shape === "map") return atomicMaps.has(key) ? {} : mapFields(value);
  if (type.leaf !== "#" || atomicStructs.has(type.ref)) return {};
  return structFields(value, definition(type.ref));
}

function mapFields(value: JsonObject): JsonObject {
  return { ".": {}, ...Object.fromEntries(Object.keys(value).map((key) => [`f:${key}`, {}])) };
}

function listFields(list: Json[], type: FieldType): JsonObject {
  const { listKeys } = type;
  if (listKeys === undefined) return {};
  if (listKeys.length === 0)
    return { ".": {}, ...Object.fromEntries(list.map((item) => [`v:${JSON.stringify(item)}`, {}])) };
  const shape = type.leaf === "#" ? definition(type.ref) : undefined;
  const fields: JsonObject = { ".": {} };
  for (const item of list)
    if (isObject(item)) fields[itemKey(item, listKeys)] = { ".": {}, ...structFields(item, shape) };
  return fields;
}

function itemKey(item: JsonObject, keys: readonly string[]): string {
  const found = keys.toSorted().flatMap((key) => {
    const value = ownField(item, key) ?? ownField(listKeyDefaults, key);
    return value === undefined ? [] : [[key, value] as const];
  });
  return `k:${JSON.stringify(Object.fromEntries(found))}`;
}

/** The same by a structural schema of a custom kind. */
export function fieldsOfSchema(schema: JsonObject, object: JsonObject): JsonObject {
  const fields: JsonObject = {};
  for (const [key, value] of Object.entries(object)) {
    if (key === "apiVersion" || key === "kind") continue;
    if (key === "metadata" && isObject(value)) fields["f:metadata"] = metadataFields(value);
    else fields[`f:${key}`] = schemaField(propertyOf(schema, key), value);
  }
  return fields;
}

function schemaField(schema: JsonObject | undefined, value: Json): JsonObject {
  if (isObject(value)) {
    if (schema?.["x-kubernetes-map-type"] === "atomic") return {};
    const entries = Object.entries(value).map(([key, item]) => [
      `f:${key}`,
      schemaField(propertyOf(schema, key), item),
    ]);
    // The types of Object.fromEntries do not follow pairs that were made by map.
    return { ".": {}, ...(Object.fromEntries(entries) as JsonObject) };
  }
  if (!Array.isArray(value) || schema === undefined) return {};
  const kind = schema["x-kubernetes-list-type"];
  if (kind === "set") return Object.fromEntries(value.map((item) => [`v:${JSON.stringify(item)}`, {}]));
  const keys = schema["x-kubernetes-list-map-keys"];
  if (kind !== "map" || !Array.isArray(keys)) return {};
  const names = keys.filter((key) => typeof key === "string");
  const items = isObject(schema.items) ? schema.items : undefined;
  return Object.fromEntries(
    value.filter(isObject).map((item) => [itemKey(item, names), schemaField(items, item)]),
  );
}

function propertyOf(schema: JsonObject | undefined, key: string): JsonObject | undefined {
  const properties = schema?.properties;
  const property =
    isObject(properties) && Object.hasOwn(properties, key) ? properties[key] : schema?.additionalProperties;
  return isObject(property) ? property : undefined;
}
