import { defaultObject, hasDefaults } from "#cloud/kube-api/custom-resources";
import { parseObject, type KindInfo } from "#cloud/kube-api/schema";
import type { JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";

/**
 * The JSON of a stored object as one version of its kind shows it: with the version of the request, and with defaults that the
 * schema of a custom resource has got since the object was stored.
 */
export function shownText(kind: KindInfo, text: string): string {
  const { custom } = kind;
  if (custom === undefined) return text;
  if (!hasDefaults(custom.schema) && text.includes(`"apiVersion":"${apiVersionOf(kind)}"`)) {
    const object = parseObject(text);
    if (object["apiVersion"] === apiVersionOf(kind)) return text;
  }
  return JSON.stringify(shownObject(kind, text));
}

/** As `shownText`, parsed. */
export function shownObject(kind: KindInfo, text: string): JsonObject {
  const object = parseObject(text);
  if (kind.custom === undefined) return object;
  defaultObject(kind.custom.schema, object);
  return { ...object, apiVersion: apiVersionOf(kind) };
}
