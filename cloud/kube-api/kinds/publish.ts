import {
  definitionName,
  fieldsOfDefinition,
  fieldsOfSchema,
  openApiDocument,
  type KindInfo,
} from "#cloud/kube-api/schema";
import type { JsonObject } from "#shared/json";

/** `fieldsV1` of an object for metadata.managedFields, list items keyed as server-side apply does. */
export function fieldsV1Of(kind: KindInfo, object: JsonObject): JsonObject {
  return kind.custom === undefined
    ? fieldsOfDefinition(definitionName(kind), object)
    : fieldsOfSchema(kind.custom.schema, object);
}

/** The OpenAPI v3 document of one group version with the kinds given. Megabytes for builtin groups: keep its bytes, not the object. */
export function openApiV3(apiVersion: string, kinds: readonly KindInfo[]): JsonObject {
  return openApiDocument(apiVersion, kinds);
}
