import type { EntryProblem } from "#cloud/router/http";
import type { IncomingMessage } from "node:http";
import { servicePath } from "#cloud/router/rules";
import { forwardedHeaders, messageIdHeader, type NodeCall } from "#cloud/router/senders";
import { UnavailableError } from "#shared/errors";
import type { AcceptedRequest } from "./accepted.ts";

/** As `restTimeout` of KubeEdge's router: until the head of the response. */
const defaultTimeoutMs = 60_000;

const unavailable: Readonly<Record<string, { readonly status: number; readonly code: string }>> = {
  "not-connected": { status: 504, code: "node-offline" },
  "node-gone": { status: 504, code: "node-offline" },
  "link-down": { status: 504, code: "node-offline" },
  timeout: { status: 504, code: "timeout" },
  "too-many-streams": { status: 503, code: "too-many" },
};

/** Why there is no response. */
export function problemOf(error: unknown, reason: string): EntryProblem {
  const code = error instanceof UnavailableError ? error.code : "";
  const known = Object.hasOwn(unavailable, code) ? unavailable[code] : undefined;
  if (error instanceof RangeError) return { status: 431, code: "head-too-large", reason };
  return { status: 502, code: "no-response", ...known, reason };
}

/** The call of the server on the node that a request leads to. */
export function callOf(
  parts: Pick<AcceptedRequest, "match" | "messageId" | "path"> & {
    readonly node: string;
    readonly request: IncomingMessage;
  },
): NodeCall {
  const { match, path, node, request, messageId } = parts;
  const { rule } = match;
  const { target } = rule;
  if (target.kind !== "servicebus") throw new TypeError("the rule leads to no server on a node");
  const end = { rest: match.rest, endsWithSlash: path.endsWithSlash, query: path.query };
  const own = {
    [messageIdHeader]: messageId,
    "x-forwarded-proto": "https",
    "x-forwarded-host": request.headers.host ?? "",
    ...bodyLength(request),
  };
  return {
    node,
    port: target.port,
    method: request.method ?? "GET",
    path: servicePath(target, { ...match.parameters, node }, end),
    headers: forwardedHeaders(request.rawHeaders, own),
    timeoutMs: rule.timeoutMs ?? defaultTimeoutMs,
  };
}

/** Many small servers, such as those of Python, take no body in chunks: a length that is known reaches them. */
function bodyLength({ headers }: IncomingMessage): Record<string, string> {
  if (headers["transfer-encoding"] !== undefined) return {};
  return { "content-length": headers["content-length"] ?? "0" };
}
