import { asRecord, asText, recordOf } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import { nodeBadRequest } from "./answers.ts";

/** An object a node sent; older nodes send it as a string of JSON. */
export function readSentObject(content: unknown): KubeObject {
  const value = asRecord(parsed(content));
  if (!value) throw nodeBadRequest("an object was expected");
  return { ...value, metadata: recordOf(value["metadata"]) };
}

export interface StatusPatch {
  readonly status: Record<string, unknown>;
  readonly uid: string | undefined;
}

/** A strategic merge patch of a status, which travels as a string; nothing but its status is taken. */
export function readPatch(content: unknown): StatusPatch {
  const { metadata, ...sent } = readSentObject(content);
  const status = asRecord(sent["status"]);
  if (!status) throw nodeBadRequest("a patch of a status was expected");
  return { status, uid: asText(metadata.uid) || undefined };
}

function parsed(content: unknown): unknown {
  if (typeof content !== "string") return content;
  try {
    return JSON.parse(content);
  } catch {
    throw nodeBadRequest("the content is not JSON");
  }
}
