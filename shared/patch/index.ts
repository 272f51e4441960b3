/** The patches of JSON documents that need no schema, and the one that nodes report statuses of pods by. */
export { jsonPatch, PatchError } from "./json-patch.ts";
export { mergePatch } from "./merge-patch.ts";
export { withReportedStatus } from "./reported-status.ts";
