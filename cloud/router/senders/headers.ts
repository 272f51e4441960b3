import { textPayload, type TextPayload } from "#shared/bytes";
import { tryJson } from "#shared/json";
import { endToEndFields } from "#shared/streams";
import type { HeaderFields } from "#shared/topics";

/** The id of a message: repetitions have the same, so that a receiver can recognize them. */
export const messageIdHeader = "x-kubeedge-message-id";
/** Why cloudcore or the service bus of a node answers, and not the server on the node. */
export const errorHeader = "kubeedge-error";

/** Of a subprotocol of WebSocket that is a token, in base64url, as the API server of Kubernetes has it. */
export const tokenProtocol = "base64url.bearer.authorization.k8s.io.";

/** For cloudcore alone: the token of the caller, and what belongs to its connection besides hop-by-hop headers. */
const notForwarded: ReadonlySet<string> = new Set(["authorization", "content-length", "expect", "host"]);
/** What a server behind a proxy believes: said by cloudcore alone. */
const ours = /^(x-forwarded-|forwarded$|x-real-ip$|x-kubeedge-|kubeedge-)/;

/** The headers of a request that reach a server on a node. */
export function forwardedHeaders(
  raw: readonly string[],
  own: Readonly<Record<string, string>>,
): HeaderFields {
  const fields: [string, string][] = [];
  for (let index = 0; index + 1 < raw.length; index += 2)
    fields.push([(raw[index] ?? "").toLowerCase(), raw[index + 1] ?? ""]);
  const kept = endToEndFields(fields).filter(([name]) => !notForwarded.has(name) && !ours.test(name));
  return [...kept.flatMap(withoutToken), ...Object.entries(own)];
}

function withoutToken([name, value]: readonly [string, string]): [string, string][] {
  if (name !== "sec-websocket-protocol") return [[name, value]];
  const left = value.split(",").filter((one) => !one.trim().startsWith(tokenProtocol));
  return left.length === 0 ? [] : [[name, left.join(",").trim()]];
}

/** The headers of a message that is posted to a URL, as KubeEdge's router and more. */
export function postHeaders(message: {
  readonly node: string;
  readonly topic: string;
  readonly rule: string;
  readonly messageId: string;
  readonly body: Uint8Array;
}): Record<string, string> {
  return {
    NodeName: message.node,
    [messageIdHeader]: message.messageId,
    "x-kubeedge-topic": encodeURI(message.topic),
    "x-kubeedge-rule": message.rule,
    "content-type": contentTypeOf(textPayload(message.body)),
  };
}

function contentTypeOf({ text, bytes }: TextPayload): string {
  if (bytes) return "application/octet-stream";
  const isJson = /^\s*[[{]/.test(text) && tryJson(text) !== undefined;
  return isJson ? "application/json" : "text/plain; charset=utf-8";
}
