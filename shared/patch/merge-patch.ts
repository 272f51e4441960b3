import { isObject, ownField, setField, type Json, type JsonObject } from "#shared/json";

/** JSON Merge Patch (RFC 7386): fields are replaced, null removes them, lists are replaced. Does not change `target`. */
export function mergePatch(target: Json | undefined, patch: JsonObject): JsonObject;
export function mergePatch(target: Json | undefined, patch: Json): Json;
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else setField(result, key, mergePatch(ownField(result, key), value));
  }
  return result;
}
