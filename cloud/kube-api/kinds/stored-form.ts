import { defaultObject, hasDefaults } from "#cloud/kube-api/custom-resources";
import { toShown } from "#cloud/kube-api/kinds/conversions";
import { parseObject, type KindInfo } from "#cloud/kube-api/schema";
import type { JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";

/**
 * The JSON of a stored object as one version of its kind shows it: with the version of the request, and with defaults that the
 * schema of a custom resource has got since the object was stored.
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
  if (kind.custom === undefined) return object;
  defaultObject(kind.custom.schema, object);
  return { ...object, apiVersion: apiVersionOf(kind) };
}
