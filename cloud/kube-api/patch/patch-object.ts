import type { KindInfo } from "#cloud/kube-api/schema";
import { Refusal, refusals } from "#cloud/kube-api/status";
import { isObject, type Json, type JsonObject } from "#shared/json";
import { jsonPatch, mergePatch, PatchError } from "#shared/patch";
import { strategicMerge } from "./strategic-merge.ts";

export type PatchType = "json" | "merge" | "strategic" | "apply";

const mediaTypes: ReadonlyMap<string, PatchType> = new Map([
  ["application/json-patch+json", "json"],
  ["application/merge-patch+json", "merge"],
  ["application/strategic-merge-patch+json", "strategic"],
  ["application/apply-patch+yaml", "apply"],
]);

/** The kind of patch a Content-Type names. @throws Refusal (UnsupportedMediaType) */
export function patchTypeOf(kind: KindInfo, contentType: string): PatchType {
  const type = mediaTypes.get(contentType.split(";")[0]?.trim().toLowerCase() ?? "");
  if (type === undefined || (type === "strategic" && kind.custom)) {
    const accepted = [...mediaTypes].filter(([, one]) => !kind.custom || one !== "strategic");
    throw refusals.unsupportedMediaType(accepted.map(([name]) => name));
  }
  return type;
}

/** Applies a patch that is no server-side apply. `current` may be changed. @throws Refusal */
export function patchObject(
  kind: KindInfo,
  current: JsonObject,
  patch: { readonly type: PatchType; readonly body: Json },
): JsonObject {
  if (patch.type === "json") return patchedByJson(current, patch.body);
  if (!isObject(patch.body)) throw refusals.badRequest("error decoding patch: the patch is not an object");
  if (patch.type === "merge") return mergePatch(current, patch.body);
  const outcome = strategicMerge(kind, current, patch.body);
  if (!outcome.ok) throw new Refusal(outcome.status);
  return outcome.value;
}

function patchedByJson(current: JsonObject, body: Json): JsonObject {
  try {
    return jsonPatch(current, body);
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    switch (error.fault) {
      case "unreadable":
        throw refusals.badRequest(error.message);
      case "too-large":
        throw refusals.entityTooLarge(error.message);
      case "failed":
        throw refusals.patchFailed(error.message);
    }
  }
}
