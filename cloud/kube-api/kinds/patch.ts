import {
  definitionName,
  PatchError,
  strategicMergeInto,
  type JsonObject,
  type KindInfo,
} from "#cloud/kube-api/schema";
import { accept, failure, refuse, type Outcome } from "#cloud/kube-api/status";

/** Applies a strategic merge patch to a copy of `current`; custom kinds have none. */
export function strategicMerge(kind: KindInfo, current: JsonObject, patch: JsonObject): Outcome<JsonObject> {
  if (kind.custom !== undefined) {
    const accepted =
      "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
    return refuse(
      failure(
        `the body of the request was in an unknown format - accepted media types include: ${accepted}`,
        "UnsupportedMediaType",
        415,
      ),
    );
  }
  try {
    return accept(strategicMergeInto(definitionName(kind), current, patch));
  } catch (thrown) {
    if (thrown instanceof PatchError) return refuse(failure(thrown.message, "BadRequest", 400));
    throw thrown;
  }
}
