import { isObject, type Json, type JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";
import {
  definition,
  definitionName,
  descriptions,
  forgetTexts,
  type Definition,
  type FieldType,
  type KindInfo,
} from "#cloud/kube-api/schema";

export const quantityName = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const timeName = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const microTimeName = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
export const intOrStringName = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/** Schemas that are values in the data and definitions in the published documents. */
const valueSchemas: Readonly<Record<string, JsonObject>> = {
  [quantityName]: {
    description: "A number with an optional suffix, like 100m, 1.5 or 2Gi.",
    oneOf: [{ type: "string" }, { type: "number" }],
  },
  [timeName]: { description: "A time in the format of RFC 3339.", type: "string", format: "date-time" },
  [microTimeName]: { description: "A time with microseconds.", type: "string", format: "date-time" },
  [intOrStringName]: {
    description: "A number or a string.",
    format: "int-or-string",
    oneOf: [{ type: "integer" }, { type: "string" }],
  },
};

/**
 * The OpenAPI v3 document of one group version (KEP-2896), as far as kubectl reads it: paths with the verbs and parameters that
 * it looks for, and the schemas of `kinds` with all that they refer to. Schemas are generated from the definitions with which
 * bodies are decoded, so that clients see what the server does.
 */
export function openApiDocument(apiVersion: string, kinds: readonly KindInfo[]): JsonObject {
  const paths: JsonObject = {};
  for (const kind of kinds) Object.assign(paths, pathsOf(kind));
  const schemas = Object.fromEntries(schemasOf(kinds));
  forgetTexts();
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version: apiVersion },
    paths,
    components: { schemas },
  };
}

/** The schemas of kinds and of all that they refer to, each once and made when it is asked for. */
export function* schemasOf(kinds: readonly KindInfo[]): Generator<[string, JsonObject]> {
  for (const kind of kinds) {
    if (kind.custom !== undefined) yield [schemaNameOf(kind), customSchema(kind)];
    if (kind.verbs.includes("list")) yield [`${schemaNameOf(kind)}List`, listSchema(kind)];
  }
  const wanted = new Set([
    "meta.v1.DeleteOptions",
    "meta.v1.Status",
    "meta.v1.ListMeta",
    "meta.v1.ObjectMeta",
  ]);
  for (const kind of kinds) if (kind.custom === undefined) wanted.add(definitionName(kind));
  if (kinds.some((kind) => kind.subresources.some(({ name }) => name === "scale")))
    wanted.add("autoscaling.v1.Scale");
  yield* definedSchemas([...wanted], groupVersionKinds(kinds));
}

function groupVersionKinds(kinds: readonly KindInfo[]): ReadonlyMap<string, JsonObject> {
  const known = new Map(kinds.map((kind) => [definitionName(kind), gvkOf(kind)]));
  known.set("meta.v1.DeleteOptions", { group: "", kind: "DeleteOptions", version: "v1" });
  known.set("autoscaling.v1.Scale", { group: "autoscaling", kind: "Scale", version: "v1" });
  return known;
}

export function gvkOf({ group, version, kind }: KindInfo): JsonObject {
  return { group, version, kind };
}

function* definedSchemas(
  queue: string[],
  gvks: ReadonlyMap<string, JsonObject>,
): Generator<[string, JsonObject]> {
  const made = new Set<string>();
  const isNew = (name: string): boolean => !made.has(name) && made.add(name) !== undefined;
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const shape = definition(name);
    if (shape === undefined || !isNew(fullName(name))) continue;
    yield [fullName(name), definedSchema(name, shape, gvks.get(name))];
    for (const type of shape.values()) {
      if (type.leaf === "#") queue.push(type.ref);
      const value = valueNames[type.leaf];
      if (value !== undefined && isNew(value)) yield [value, valueSchemas[value] ?? {}];
    }
  }
}

function definedSchema(name: string, shape: Definition, gvk: JsonObject | undefined): JsonObject {
  const texts = descriptions(name);
  const properties: JsonObject = {};
  for (const [field, type] of shape) properties[field] = fieldSchema(type, texts[field] ?? "");
  const required = [...shape].filter(([, type]) => type.required).map(([field]) => field);
  return {
    ...(texts[""] ? { description: texts[""] } : {}),
    type: "object",
    ...(required.length > 0 ? { required } : {}),
    ...(shape.size > 0 ? { properties } : {}),
    ...(gvk === undefined ? {} : { "x-kubernetes-group-version-kind": [gvk] }),
  };
}

const valueNames: Readonly<Record<string, string>> = {
  q: quantityName,
  t: timeName,
  u: microTimeName,
  x: intOrStringName,
};

function fieldSchema(type: FieldType, text: string): JsonObject {
  const described = text === "" ? {} : { description: text };
  if (type.shape === "map") return { ...described, type: "object", additionalProperties: itemSchema(type) };
  if (type.shape === "list")
    return { ...described, type: "array", items: itemSchema(type), ...listExtensions(type) };
  const item = itemSchema(type);
  const kept = type.retainKeys ? { "x-kubernetes-patch-strategy": "retainKeys" } : {};
  return item.$ref === undefined
    ? { ...described, ...item, ...kept }
    : { ...described, allOf: [item], default: {}, ...kept };
}

function listExtensions(type: FieldType): JsonObject {
  const strategy = [
    ...(type.mergeKey === undefined ? [] : ["merge"]),
    ...(type.retainKeys ? ["retainKeys"] : []),
  ];
  const { listKeys } = type;
  return {
    "x-kubernetes-list-type": listKeys === undefined ? "atomic" : listKeys.length === 0 ? "set" : "map",
    ...(listKeys !== undefined && listKeys.length > 0 ? { "x-kubernetes-list-map-keys": [...listKeys] } : {}),
    ...(type.mergeKey ? { "x-kubernetes-patch-merge-key": type.mergeKey } : {}),
    ...(strategy.length > 0 ? { "x-kubernetes-patch-strategy": strategy.join(",") } : {}),
  };
}

const leafSchemas: Readonly<Record<string, JsonObject>> = {
  s: { type: "string" },
  b: { type: "boolean" },
  i: { type: "integer", format: "int32" },
  l: { type: "integer", format: "int64" },
  d: { type: "number", format: "double" },
  y: { type: "string", format: "byte" },
  o: { type: "object" },
  j: {},
};

function itemSchema(type: FieldType): JsonObject {
  if (type.leaf === "#") return refTo(fullName(type.ref));
  const named = valueNames[type.leaf];
  return named === undefined ? { ...leafSchemas[type.leaf] } : refTo(named);
}

function refTo(name: string): JsonObject {
  return { $ref: `#/components/schemas/${name}` };
}

/** The published name of a definition. */
export function fullName(name: string): string {
  if (name === "meta.v1.RawExtension" || name.startsWith("runtime."))
    return "io.k8s.apimachinery.pkg.runtime.RawExtension";
  if (name.startsWith("meta.")) return `io.k8s.apimachinery.pkg.apis.${name}`;
  if (name.startsWith("apiextensions.")) return `io.k8s.apiextensions-apiserver.pkg.apis.${name}`;
  return `io.k8s.api.${name}`;
}

export function schemaNameOf(kind: KindInfo): string {
  return kind.custom === undefined ? fullName(definitionName(kind)) : customName(kind);
}

function customName({ group, version, kind }: KindInfo): string {
  return `${group.split(".").toReversed().join(".")}.${version}.${kind}`;
}

function customSchema(kind: KindInfo): JsonObject {
  const { schema = {}, selectable = [] } = kind.custom ?? {};
  return {
    ...withTypeFields(schema),
    type: "object",
    "x-kubernetes-group-version-kind": [gvkOf(kind)],
    ...(selectable.length > 0 && {
      "x-kubernetes-selectable-fields": selectable.map((fieldPath) => ({ fieldPath })),
    }),
  };
}

/** The schema of a custom resource, which has the fields of every object. */
export function withTypeFields(schema: JsonObject): JsonObject {
  const { metadata = "" } = descriptions("core.v1.Pod");
  const ofObject = {
    ...typeFields(),
    metadata: { description: metadata, allOf: [refTo(fullName("meta.v1.ObjectMeta"))] },
  };
  return { ...schema, properties: { ...(isObject(schema.properties) && schema.properties), ...ofObject } };
}

function typeFields(): JsonObject {
  const { apiVersion = "", kind = "" } = descriptions("core.v1.Pod");
  return {
    apiVersion: { type: "string", description: apiVersion },
    kind: { type: "string", description: kind },
  };
}

function listSchema(kind: KindInfo): JsonObject {
  return {
    description: `${kind.listKind} is a list of ${kind.kind}`,
    type: "object",
    required: ["items"],
    properties: {
      ...typeFields(),
      items: { type: "array", items: refTo(schemaNameOf(kind)) },
      metadata: { allOf: [refTo(fullName("meta.v1.ListMeta"))] },
    },
    "x-kubernetes-group-version-kind": [{ ...gvkOf(kind), kind: kind.listKind }],
  };
}

const actions: Readonly<Record<string, { method: string; action: string }>> = {
  get: { method: "get", action: "get" },
  update: { method: "put", action: "put" },
  patch: { method: "patch", action: "patch" },
  delete: { method: "delete", action: "delete" },
};

export function pathsOf(kind: KindInfo): JsonObject {
  const root = `${kind.group === "" ? "/api" : "/apis"}/${apiVersionOf(kind)}`;
  const many = kind.namespaced ? `${root}/namespaces/{namespace}/${kind.plural}` : `${root}/${kind.plural}`;
  if (!kind.stored && !kind.verbs.includes("create"))
    return {
      [many]: { get: operation(kind, "list") },
      [`${many}/{name}`]: { get: operation(kind, "get") },
    };
  const collection: JsonObject = { post: operation(kind, "post") };
  if (!kind.stored) return { [many]: collection };
  collection.get = operation(kind, "list");
  collection.delete = operation(kind, "deletecollection");
  const one: JsonObject = {};
  for (const { method, action } of Object.values(actions)) one[method] = operation(kind, action);
  const across: JsonObject = kind.namespaced
    ? { [`${root}/${kind.plural}`]: { get: operation(kind, "list") } }
    : {};
  return { ...across, [many]: collection, [`${many}/{name}`]: one };
}

const fieldValidation: Json[] = [
  { name: "dryRun", in: "query", schema: { type: "string", uniqueItems: true } },
  { name: "fieldManager", in: "query", schema: { type: "string", uniqueItems: true } },
  { name: "fieldValidation", in: "query", schema: { type: "string", uniqueItems: true } },
];

function operation(kind: KindInfo, action: string): JsonObject {
  const writes = action === "post" || action === "put" || action === "patch";
  return {
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": gvkOf(kind),
    ...(writes ? { parameters: fieldValidation } : {}),
    responses: {
      "200": { description: "OK", content: { "application/json": { schema: refTo(schemaNameOf(kind)) } } },
    },
  };
}
