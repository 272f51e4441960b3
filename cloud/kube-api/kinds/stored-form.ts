import { defaultObject, hasDefaults, pruneObject } from "#cloud/kube-api/custom-resources";
import { toShown } from "#cloud/kube-api/kinds/conversions";
import { parseObject, type CustomKind, type KindInfo } from "#cloud/kube-api/schema";
import { asText, cloneJson, type JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";

/**
 * The JSON of a stored object as one version of its kind shows it: with the version of the request, and with defaults that the
 * schema of a custom resource has got since the object was stored. Where a webhook converts, it has been asked before.
 */
export function shownText(kind: KindInfo, text: string): string {
  const { custom, storedAs } = kind;
  if (custom === undefined && storedAs === undefined) return text;
  if (custom !== undefined && !hasDefaults(custom.schema)) {
    const object = parseObject(text);
    if (object["apiVersion"] === apiVersionOf(kind)) return text;
  }
  return JSON.stringify(shownObject(kind, text));
}

/** As `shownText`, parsed. */
export function shownObject(kind: KindInfo, text: string): JsonObject {
  const object = parseObject(text);
  if (kind.storedAs !== undefined) return toShown(kind, object);
  return kind.custom === undefined ? object : inVersion(kind, kind.custom, object);
}

/** An object of another version of a custom resource that differs in its name alone: what it does not know is dropped. */
function inVersion(kind: KindInfo, custom: CustomKind, object: JsonObject): JsonObject {
  const [version, shown] = [asText(object["apiVersion"]), apiVersionOf(kind)];
  const schema = custom.schemas.get(version.split("/").at(-1) ?? "") ?? custom.schema;
  defaultObject(schema, object);
  if (version === shown) return object;
  if (!custom.preserveUnknownFields) pruneObject(custom.schema, object);
  return { ...object, apiVersion: shown };
}

/** An admitted object as it is stored: custom resources in the version that their definition stores. */
export function storedForm(kind: KindInfo, object: JsonObject): JsonObject {
  const { custom, group, version } = kind;
  if (custom === undefined || custom.storageVersion === version) return object;
  const stored = cloneJson(object);
  const schema = custom.schemas.get(custom.storageVersion);
  if (schema && !custom.preserveUnknownFields) pruneObject(schema, stored);
  return { ...stored, apiVersion: `${group}/${custom.storageVersion}` };
}
