import type { JsonObject } from "#shared/json";
import type { KubeObject, Pod } from "#shared/kube";

/*
 * The one place that trusts what was admitted: the store keeps objects of the API only, each with metadata. What comes from
 * clients is decoded instead (`decodeBody`).
 */

/** A stored object. */
export function parseObject(text: string): JsonObject {
  return JSON.parse(text) as JsonObject;
}

/** As `parseObject`, typed by its metadata. */
export function parseKubeObject(text: string): KubeObject {
  return JSON.parse(text) as KubeObject;
}

/** The same object, typed by its metadata. */
export function toKubeObject(object: JsonObject): KubeObject {
  return object as unknown as KubeObject;
}

/** The same object, once it is validated to be a pod. */
export function toPod(object: JsonObject): Pod {
  return object as unknown as Pod;
}

/** The same object as JSON. */
export function toJsonObject(object: KubeObject): JsonObject {
  return object as unknown as JsonObject;
}
