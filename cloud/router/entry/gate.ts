import type { EntryProblem } from "#cloud/router/http";
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { NodeDirectory } from "#cloud/router/nodes";
import {
  readRequestPath,
  targetNodes,
  type RequestPath,
  type RestMatch,
  type RuleBook,
} from "#cloud/router/rules";
import { messageIdHeader, tokenProtocol } from "#cloud/router/senders";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { verbOfMethod, type Access, type Caller } from "./access.ts";
import type { AcceptedRequest } from "./accepted.ts";
import { RequestLimits } from "./limits.ts";

export interface RequestGateOptions {
  readonly book: () => RuleBook;
  readonly nodes: NodeDirectory;
  readonly access: Access;
  /** The connection of a request belongs to a user. @returns false when that user has too many */
  readonly prove: (request: IncomingMessage, user: string) => boolean;
  readonly log: Logger;
}

/** A client names the id of a message itself to repeat it. */
const ownId = /^[\w.:-]{1,64}$/;

/** Who sends a request, whether that user may, and which rule and nodes it is for. */
export class RequestGate {
  readonly #options: RequestGateOptions;
  readonly #limits = new RequestLimits();

  constructor(options: RequestGateOptions) {
    this.#options = options;
  }

  /** What was accepted holds a place among the requests under way until it is disposed. */
  async accept(request: IncomingMessage): Promise<AcceptedRequest | EntryProblem> {
    const refused = refuseForm(request);
    if (refused) return refused;
    const caller = await this.#identify(request);
    if ("status" in caller) return caller;
    if (!this.#options.prove(request, caller.name)) return tooMany("connections");
    const place = this.#limits.enter(caller.name);
    if (!place) return tooMany("requests");
    using stack = new DisposableStack();
    stack.use(place);
    const found = await this.#find(caller, request);
    if ("status" in found) return found;
    const [node] = found.nodes;
    if (found.match.rule.target.kind === "servicebus" && node !== undefined) {
      const placeOnNode = this.#limits.enterNode(caller.name, node);
      if (!placeOnNode) return tooMany(`requests to node ${JSON.stringify(node)}`);
      stack.use(placeOnNode);
    }
    const owned = stack.move();
    return { ...found, [Symbol.dispose]: () => owned.dispose() };
  }

  async #identify(request: IncomingMessage): Promise<Caller | EntryProblem> {
    try {
      return (await this.#options.access.identify(tokenOf(request))) ?? unauthorized;
    } catch (error) {
      return this.#apiProblem(error);
    }
  }

  async #find(
    caller: Caller,
    request: IncomingMessage,
  ): Promise<Omit<AcceptedRequest, typeof Symbol.dispose> | EntryProblem> {
    const { book, nodes } = this.#options;
    const read = readRequestPath(request.url ?? "");
    if (!read.ok) return { status: 400, code: "bad-path", reason: read.problem };
    const { path } = read;
    const match = book().ofRequest(path.namespace, path.parts);
    const denied = await this.#authorize(caller, path, match, request.method ?? "");
    if (denied) return denied;
    if (!match) return noRule(path);
    const { target, key } = match.rule;
    const found = targetNodes(target.kind === "rest" ? undefined : target.nodes, path.node, nodes);
    if (!found.ok)
      return { status: 404, code: "no-node", reason: `rule ${JSON.stringify(key)}: ${found.problem}` };
    return { match, path, nodes: found.nodes, messageId: idOf(request), request };
  }

  /** Without a rule the caller needs the right for rules of any name, so that strangers cannot find out which paths exist. */
  async #authorize(
    caller: Caller,
    { namespace }: RequestPath,
    match: RestMatch | undefined,
    method: string,
  ): Promise<EntryProblem | undefined> {
    try {
      const use = { namespace, rule: match?.rule.name ?? "", method };
      if (await this.#options.access.mayUse(caller, use)) return undefined;
    } catch (error) {
      return this.#apiProblem(error);
    }
    const verb = verbOfMethod(method);
    const reason = `user ${JSON.stringify(caller.name)} has not the right for this path: verb ${verb} on rules/proxy of group rules.kubeedge.io in namespace ${JSON.stringify(namespace)}`;
    return { status: 403, code: "forbidden", reason };
  }

  #apiProblem(error: unknown): EntryProblem {
    this.#options.log.warn("cannot ask the API who may use a rule", { error: describeError(error) });
    return {
      status: 503,
      code: "api-unavailable",
      reason: "the Kubernetes API cannot say now who may do this",
      headers: { "retry-after": "1" },
    };
  }
}

const unauthorized: EntryProblem = {
  status: 401,
  code: "unauthorized",
  reason: "expected the header Authorization: Bearer <token> with a valid token of the Kubernetes API",
  headers: { "www-authenticate": 'Bearer realm="kubeedge"' },
};

function tooMany(what: string): EntryProblem {
  return {
    status: 429,
    code: "too-many",
    reason: `too many ${what} are open`,
    headers: { "retry-after": "1" },
  };
}

function refuseForm({ method = "", headers, rawHeaders }: IncomingMessage): EntryProblem | undefined {
  if (verbOfMethod(method) === undefined)
    return {
      status: 405,
      code: "method",
      reason: `method ${method.slice(0, 20)} is not served`,
      headers: { allow: "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE" },
    };
  const twice = ["host", "authorization"].find((name) => countOf(rawHeaders, name) > 1);
  if (twice !== undefined)
    return { status: 400, code: "bad-header", reason: `the header ${twice} is there more than once` };
  // The parser takes -1 for no length.
  if (!/^\d{1,15}$/.test(headers["content-length"] ?? "0"))
    return { status: 400, code: "bad-length", reason: "the header Content-Length is no length" };
  return undefined;
}

/** Of a field of which two programs could read different ones. */
function countOf(rawHeaders: readonly string[], name: string): number {
  return rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === name).length;
}

function noRule({ namespace }: RequestPath): EntryProblem {
  const reason = `no rule of namespace ${JSON.stringify(namespace)} has this path`;
  return { status: 404, code: "no-rule", reason };
}

/** A client that repeats a request may give it the same id. */
function idOf({ headers }: IncomingMessage): string {
  const given = headers[messageIdHeader];
  return typeof given === "string" && ownId.test(given) ? given : randomUUID();
}

/** Browsers send a token with a WebSocket as the API server of Kubernetes takes it: as a subprotocol. */
function tokenOf({ headers }: IncomingMessage): string | undefined {
  if (headers.authorization !== undefined || headers.upgrade === undefined) return headers.authorization;
  const offered = (headers["sec-websocket-protocol"] ?? "").split(",").map((one) => one.trim());
  const encoded = offered.find((one) => one.startsWith(tokenProtocol))?.slice(tokenProtocol.length);
  return encoded === undefined ? undefined : `Bearer ${Buffer.from(encoded, "base64url").toString("latin1")}`;
}
