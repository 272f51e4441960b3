import { forgetTexts, type KindInfo } from "#cloud/kube-api/schema";
import { isObject, type Json, type JsonObject } from "#shared/json";
import {
  gvkOf,
  intOrStringName,
  pathsOf,
  quantityName,
  schemaNameOf,
  schemasOf,
  withTypeFields,
} from "./v3.ts";

/** A part of the Swagger document: a path or a definition. */
export interface SwaggerPart {
  readonly of: "paths" | "definitions";
  readonly name: string;
  readonly value: JsonObject;
}

/**
 * The Swagger document (`/openapi/v2`) of all kinds, part by part: paths first. It is larger than what is kept in memory, and
 * each definition has its name once, whichever group refers to it.
 */
export function* swaggerParts(kinds: readonly KindInfo[]): Generator<SwaggerPart> {
  for (const kind of kinds)
    for (const [name, value] of Object.entries(pathsOf(kind)))
      if (isObject(value)) yield { of: "paths", name, value: swaggerPath(kind, name, value) };
  const custom = new Map(kinds.flatMap((kind) => (kind.custom ? [[schemaNameOf(kind), kind]] : [])));
  try {
    for (const [name, schema] of schemasOf(kinds)) {
      const kind = custom.get(name);
      yield { of: "definitions", name, value: kind ? customDefinition(kind) : swaggerSchema(name, schema) };
    }
  } finally {
    forgetTexts();
  }
}

function swaggerPath(kind: KindInfo, path: string, operations: JsonObject): JsonObject {
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    type: "string",
  }));
  const shown = Object.entries(operations).flatMap(([method, operation]) =>
    isObject(operation) ? [[method, swaggerOperation(kind, operation)] as const] : [],
  );
  return { ...Object.fromEntries(shown), ...(parameters.length > 0 && { parameters }) };
}

function swaggerOperation(kind: KindInfo, operation: JsonObject): JsonObject {
  const { parameters, responses: _responses, ...extensions } = operation;
  const query = (Array.isArray(parameters) ? parameters : []).filter(isObject).map(({ name = "" }) => ({
    name,
    in: "query",
    type: "string",
    uniqueItems: true,
  }));
  const schema = { $ref: `#/definitions/${schemaNameOf(kind)}` };
  return {
    ...extensions,
    ...(query.length > 0 && { parameters: query }),
    responses: { "200": { description: "OK", schema } },
  };
}

/** Definitions that Swagger writes in another way than OpenAPI 3, which has choices. */
const valueSchemas: Readonly<Record<string, JsonObject>> = {
  [quantityName]: { description: "A number with an optional suffix, like 100m, 1.5 or 2Gi.", type: "string" },
  [intOrStringName]: { description: "A number or a string.", type: "string", format: "int-or-string" },
};

function swaggerSchema(name: string, schema: JsonObject): JsonObject {
  // What comes of an object is one.
  return valueSchemas[name] ?? (swaggered(schema) as JsonObject);
}

const componentPrefix = "#/components/schemas/";

/** References to definitions, which may have a description here, and no defaults. */
function swaggered(value: Json): Json {
  if (Array.isArray(value)) return value.map(swaggered);
  if (!isObject(value)) return value;
  const { allOf, default: _preset, ...rest } = value;
  const [only] = Array.isArray(allOf) && allOf.length === 1 ? allOf : [];
  const shown = isObject(only) && typeof only["$ref"] === "string" ? { ...rest, ...only } : rest;
  return Object.fromEntries(
    Object.entries(shown).map(([key, item]) => [
      key,
      key === "$ref" && typeof item === "string" && item.startsWith(componentPrefix)
        ? `#/definitions/${item.slice(componentPrefix.length)}`
        : swaggered(item ?? null),
    ]),
  );
}

/** Of a custom resource, as apiextensions-apiserver publishes it (controller/openapi/builder). */
function customDefinition(kind: KindInfo): JsonObject {
  const gvk = { "x-kubernetes-group-version-kind": [gvkOf(kind)] };
  const schema = kind.custom?.schema ?? {};
  // kubectl could not validate such an object: it is to be left alone.
  if (schema["x-kubernetes-preserve-unknown-fields"] === true) return { type: "object", ...gvk };
  return { ...swaggerSchema("", withTypeFields(structuralDefinition(schema))), ...gvk };
}

/** Words that Swagger does not have. */
const combined = ["allOf", "anyOf", "oneOf", "not", "nullable", "default"];

/** A structural schema without what kubectl's validation cannot do (`ToStructuralOpenAPIV2`). */
function structuralDefinition(schema: JsonObject): JsonObject {
  const shown = Object.fromEntries(Object.entries(schema).filter(([key]) => !combined.includes(key)));
  const open = schema["x-kubernetes-preserve-unknown-fields"] === true || schema.nullable === true;
  if (open) {
    delete shown.items;
    delete shown.properties;
  }
  if (schema.nullable === true || schema["x-kubernetes-int-or-string"] === true) delete shown.type;
  const { properties, items, additionalProperties } = shown;
  if (isObject(properties)) Object.assign(shown, fieldsOf(properties, shown.required));
  if (isObject(items)) shown.items = structuralDefinition(items);
  if (isObject(additionalProperties)) shown.additionalProperties = structuralDefinition(additionalProperties);
  return schema["x-kubernetes-embedded-resource"] === true ? withTypeFields(shown) : shown;
}

/** Properties, and which of them are required: one that may be null is not. */
function fieldsOf(properties: JsonObject, required: Json | undefined): JsonObject {
  const nullable = (name: Json): boolean => {
    const property = typeof name === "string" ? properties[name] : undefined;
    return isObject(property) && property.nullable === true;
  };
  const needed = (Array.isArray(required) ? required : []).filter((name) => !nullable(name));
  const shown = Object.entries(properties).map(([name, property]) => [
    name,
    isObject(property) ? structuralDefinition(property) : property,
  ]);
  return {
    // The types of Object.fromEntries do not follow pairs that were made by map.
    properties: Object.fromEntries(shown) as JsonObject,
    ...(needed.length > 0 ? { required: needed } : {}),
  };
}
