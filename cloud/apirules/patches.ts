import { applyPatch, type Operation } from "fast-json-patch";
import { asError } from "#shared/errors";
import type { Json, JsonObject } from "#cloud/apischema";
import { badRequest, patchFailed } from "./refusal.ts";

/** RFC 7386. Does not change `target`. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

const maxOperations = 10_000;

/** RFC 6902. Does not change `target`. @throws Refusal */
export function jsonPatch(target: JsonObject, patch: Json): JsonObject {
  if (!Array.isArray(patch)) {
    throw badRequest(
      "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch",
    );
  }
  if (patch.length > maxOperations) {
    throw badRequest(
      `The allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`,
    );
  }
  let result: unknown;
  try {
    const copy = structuredClone(target);
    result = applyPatch(copy, patch as unknown as Operation[], true, true, true).newDocument;
  } catch (error) {
    const [why = ""] = asError(error).message.split("\n");
    throw patchFailed(`the server rejected our request due to an error in our request: ${why}`);
  }
  if (!isObject(result as Json)) throw patchFailed("the patched object is not an object");
  return result as JsonObject;
}

/** A text, or "" for anything else. */
export function textOf(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
