import type { HistoryAnswer, HistoryQuestion } from "#shared/topics";
import {
  adoptRoute,
  contentText,
  groups,
  historyResource,
  newMessage,
  operations,
  sources,
  type Stamp,
  type WireMessage,
} from "#shared/wire";
import { downstreamMessage, type DownstreamMessage } from "./downstream-message.ts";

/** What a node answers to a message of the cloud; an error (operation `error`): it could not handle the message. */
export type NodeReply =
  { readonly isError: false; readonly content: unknown } | { readonly isError: true; readonly text: string };

export function readReply({ route, content }: WireMessage): NodeReply {
  return route.operation === operations.error
    ? { isError: true, text: contentText(content) }
    : { isError: false, content };
}

/** Not of KubeEdge: its edge leaves the question unanswered. */
export function historyMessage(
  stamp: Stamp,
  { namespace, device, property, since, until, limit }: Omit<HistoryQuestion, "node" | "timeoutMs">,
): DownstreamMessage {
  return downstreamMessage(
    newMessage(stamp, {
      source: sources.deviceController,
      group: groups.twin,
      operation: operations.query,
      // The node may have an id of its own for it, and knows it by this name in any case.
      resource: historyResource(`${namespace}/${device}`),
      content: { property, since, until, limit },
    }),
  );
}

export function readHistory(reply: NodeReply): HistoryAnswer {
  if (reply.isError) return { kind: "failed", reason: reply.text };
  const document = fieldsOf(reply.content);
  const { code, error } = document;
  if (typeof error === "string")
    return { kind: "refused", code: typeof code === "number" ? code : undefined, reason: error };
  return Array.isArray(document["history"]) ? { kind: "values", document } : { kind: "unreadable" };
}

function fieldsOf(content: unknown): Readonly<Record<string, unknown>> {
  return typeof content === "object" && content !== null ? Object.fromEntries(Object.entries(content)) : {};
}

/** Not of KubeEdge: between our cloud and our nodes. */
export function adoptMessage(stamp: Stamp, database: string): DownstreamMessage {
  return downstreamMessage(newMessage(stamp, { ...adoptRoute, content: database }));
}
