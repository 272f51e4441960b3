import { forbidden, invalid, notSupported, required } from "#cloud/kube-api/kinds/validation";
import { listMapKeys, type FieldError } from "#cloud/kube-api/schema";
import { childOf, isObject, itemsOf, ownField, textOf, textsOf, type JsonObject } from "#shared/json";

const listTypes = ["atomic", "set", "map"];
const mapTypes = ["atomic", "granular"];
/** As in crd-validation.ts. */
const maxDepth = 100;
const inSet = "must be atomic as item of a list with x-kubernetes-list-type=set";
const inMap = "must be a scalar type if parent array's x-kubernetes-list-type is map";

/**
 * Errors of x-kubernetes-list-type, x-kubernetes-list-map-keys and x-kubernetes-map-type at one place of a schema
 * (apiextensions-apiserver/pkg/apis/apiextensions/validation).
 */
export function extensionProblems(schema: JsonObject, path: string): FieldError[] {
  return [...mapTypeProblems(schema, path), ...listTypeProblems(schema, path), ...keyProblems(schema, path)];
}

function mapTypeProblems(schema: JsonObject, path: string): FieldError[] {
  const mapType = schema["x-kubernetes-map-type"];
  if (typeof mapType !== "string") return [];
  return [
    ...(schema.type === "object" ? [] : [wrongType(schema, path, "object", "x-kubernetes-map-type")]),
    ...(mapTypes.includes(mapType) ? [] : [notSupported(`${path}.x-kubernetes-map-type`, mapType, mapTypes)]),
  ];
}

function listTypeProblems(schema: JsonObject, path: string): FieldError[] {
  const listType = schema["x-kubernetes-list-type"];
  if (typeof listType !== "string") return [];
  return [
    ...(schema.type === "array" ? [] : [wrongType(schema, path, "array", "x-kubernetes-list-type")]),
    ...(listTypes.includes(listType)
      ? []
      : [notSupported(`${path}.x-kubernetes-list-type`, listType, listTypes)]),
  ];
}

function wrongType(schema: JsonObject, path: string, type: string, word: string): FieldError {
  const text = `must be ${type} if ${word} is specified`;
  return schema.type === undefined
    ? required(`${path}.type`, text)
    : invalid(`${path}.type`, schema.type, text);
}

function keyProblems(schema: JsonObject, path: string): FieldError[] {
  const listType = schema["x-kubernetes-list-type"];
  const keys = listMapKeys(schema);
  if (listType !== "map") {
    if (keys.length === 0) return [];
    const text = "must be map if x-kubernetes-list-map-keys is non-empty";
    const field = `${path}.x-kubernetes-list-type`;
    return [listType === undefined ? required(field, text) : invalid(field, listType, text)];
  }
  const field = `${path}.x-kubernetes-list-map-keys`;
  const { items } = schema;
  return [
    ...(keys.length === 0 ? [required(field, "must not be empty if x-kubernetes-list-type is map")] : []),
    ...(isObject(items)
      ? itemProblems(items, keys, path)
      : [required(`${path}.items`, "must have a schema if x-kubernetes-list-type is map")]),
  ];
}

function itemProblems(items: JsonObject, keys: readonly string[], path: string): FieldError[] {
  if (items.type !== "object") {
    const text = "must be object if parent array's x-kubernetes-list-type is map";
    return [invalid(`${path}.items.type`, textOf(items, "type"), text)];
  }
  const field = `${path}.x-kubernetes-list-map-keys`;
  return keys.flatMap((key, index) => {
    const property = ownField(childOf(items, "properties") ?? {}, key);
    const type = isObject(property) ? property.type : undefined;
    const nested = type === "array" || type === "object";
    return [
      ...(nested ? [invalid(`${path}.items.properties[${key}].type`, items.type, inMap)] : []),
      ...(isObject(property)
        ? []
        : [invalid(field, [...keys], "entries must all be names of item properties")]),
      ...(keys.indexOf(key) === index
        ? []
        : [invalid(field, [...keys], "must not contain duplicate entries")]),
    ];
  });
}

/**
 * What a definition may have only if it had it before, when Kubernetes did not refuse it: sets of lists and maps that are not
 * atomic, items and keys that may be null or absent.
 */
export function looseListProblems(schema: JsonObject, path: string): FieldError[] {
  const { items } = schema;
  const listType = schema["x-kubernetes-list-type"];
  if (!isObject(items) || (listType !== "set" && listType !== "map")) return [];
  const nullable =
    items.nullable === true
      ? [forbidden(`${path}.items.nullable`, `cannot be nullable when x-kubernetes-list-type is ${listType}`)]
      : [];
  return [
    ...nullable,
    ...(listType === "set" ? setProblems(schema, items, path) : looseKeys(schema, items, path)),
  ];
}

function setProblems(schema: JsonObject, items: JsonObject, path: string): FieldError[] {
  if (schema.type !== "array") return [];
  const { "x-kubernetes-list-type": listType, "x-kubernetes-map-type": mapType } = items;
  if (items.type === "array" && listType !== undefined && listType !== "atomic")
    return [invalid(`${path}.items.x-kubernetes-list-type`, listType, inSet)];
  if (items.type === "object" && mapType !== "atomic")
    return [invalid(`${path}.items.x-kubernetes-map-type`, mapType ?? "null", inSet)];
  return [];
}

function looseKeys(schema: JsonObject, items: JsonObject, path: string): FieldError[] {
  const always = new Set(textsOf(items, "required"));
  const word = "this property is in x-kubernetes-list-map-keys, so it";
  return listMapKeys(schema).flatMap((key) => {
    const property = ownField(childOf(items, "properties") ?? {}, key);
    if (!isObject(property)) return [];
    const place = `${path}.items.properties[${key}]`;
    return [
      ...(always.has(key) || property.default !== undefined
        ? []
        : [required(`${place}.default`, `${word} must have a default or be a required property`)]),
      ...(property.nullable === true ? [forbidden(`${place}.nullable`, `${word} cannot be nullable`)] : []),
    ];
  });
}

/** Whether any version of a definition has what `looseListProblems` refuses. */
export function hasLooseLists(crd: JsonObject): boolean {
  return itemsOf(childOf(crd, "spec"), "versions").some((version) => {
    const schema = childOf(childOf(version, "schema"), "openAPIV3Schema");
    return schema !== undefined && isLoose(schema, 0);
  });
}

function isLoose(schema: JsonObject, depth: number): boolean {
  if (depth > maxDepth) return false;
  if (looseListProblems(schema, "").length > 0) return true;
  const { properties, items, additionalProperties } = schema;
  const below = [...Object.values(isObject(properties) ? properties : {}), items, additionalProperties];
  return below.filter(isObject).some((one) => isLoose(one, depth + 1));
}
