import { definitionName, fieldsOfDefinition, fieldsOfSchema, type KindInfo } from "#cloud/kube-api/schema";
import type { JsonObject } from "#shared/json";

/** `fieldsV1` of an object for metadata.managedFields, list items keyed as server-side apply does. */
export function fieldsV1Of(kind: KindInfo, object: JsonObject): JsonObject {
  return kind.custom === undefined
    ? fieldsOfDefinition(definitionName(kind), object)
    : fieldsOfSchema(kind.custom.schema, object);
}
