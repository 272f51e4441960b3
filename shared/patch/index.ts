/** The patches of JSON documents that need no schema. */
export { jsonPatch, PatchError } from "./json-patch.ts";
export { mergePatch } from "./merge-patch.ts";
