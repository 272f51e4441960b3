import { checkWatchOptions, isTrue, readRevision } from "#cloud/kube-api/http";
import { resourceOf } from "#cloud/kube-api/objects";
import type { Selection } from "#cloud/kube-api/selection";
import {
  prefixOf,
  readSelection,
  readWanted,
  type ResourceParts,
  type ResourceRequest,
} from "./resource-request.ts";
import { answerWatch } from "./watch-stream.ts";

/** The events of a collection, or of one object. @throws Refusal (BadRequest) */
export function watchObjects(parts: ResourceParts, asked: ResourceRequest): Response {
  const { kind, query, user } = asked;
  checkWatchOptions(query);
  const initial = isTrue(query.get("sendInitialEvents") ?? "false");
  const version = query.get("resourceVersion") ?? "";
  const options = {
    kind,
    resource: resourceOf(kind),
    prefix: prefixOf(asked),
    selection: watchSelection(asked),
    wanted: readWanted(asked),
    after: initial || version === "" || version === "0" ? undefined : readRevision(version),
    bookmarks: isTrue(query.get("allowWatchBookmarks") ?? "false"),
    initialEnd: initial,
    timeoutSeconds: Number(query.get("timeoutSeconds") ?? 0),
    expiresMs: user.expiresMs,
  };
  return answerWatch(parts, options, asked.open);
}

/** A watch of one object selects it by its name. */
function watchSelection(asked: ResourceRequest): Selection {
  const selection = readSelection(asked);
  const { name } = asked.target;
  if (name === "") return selection;
  return { ...selection, fields: [...selection.fields, { path: "metadata.name", equal: true, value: name }] };
}
