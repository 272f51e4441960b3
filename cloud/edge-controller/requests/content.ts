import type { KubeObject } from "#shared/kube";
import { isRecord } from "#shared/json";
import { badRequest } from "./answers.ts";

/** An object a node sent; older nodes send it as a string of JSON. */
export function readObject(content: unknown): KubeObject {
  const value = parsed(content);
  if (!isRecord(value)) throw badRequest("an object was expected");
  const { metadata } = value;
  return { ...value, metadata: isRecord(metadata) ? metadata : {} };
}

export interface StatusPatch {
  readonly status: Record<string, unknown>;
  readonly uid: string | undefined;
}

/** A strategic merge patch of a status, which travels as a string; nothing but its status is taken. */
export function readPatch(content: unknown): StatusPatch {
  const { metadata, ["status"]: status } = readObject(content);
  if (!isRecord(status)) throw badRequest("a patch of a status was expected");
  const uid: unknown = metadata.uid;
  return { status, uid: typeof uid === "string" && uid !== "" ? uid : undefined };
}

function parsed(content: unknown): unknown {
  if (typeof content !== "string") return content;
  try {
    return JSON.parse(content);
  } catch {
    throw badRequest("the content is not JSON");
  }
}
