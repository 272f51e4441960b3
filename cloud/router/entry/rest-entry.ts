import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { NodeDirectory } from "#cloud/router/nodes";
import {
  readRequestPath,
  targetNodes,
  type RequestPath,
  type RestMatch,
  type RuleBook,
} from "#cloud/router/rules";
import { messageIdHeader } from "#cloud/router/senders";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { verbOfMethod, type Access, type Caller } from "./access.ts";
import type { RuleRequest } from "./accepted.ts";
import type { BrokerRequests } from "./broker-requests.ts";
import { RequestLimits } from "./limits.ts";
import { sendJson, sendProblem, type EntryProblem } from "./reply.ts";
import type { ServiceRequests } from "./service-requests.ts";

export interface RestEntryOptions {
  readonly book: () => RuleBook;
  readonly nodes: NodeDirectory;
  readonly access: Access;
  readonly services: ServiceRequests;
  readonly brokers: BrokerRequests;
  /** The connection of a request belongs to a user. @returns false when that user has too many */
  readonly prove: (request: IncomingMessage, user: string) => boolean;
  readonly log: Logger;
}

/** Nodes that a dry run names. */
const mostShown = 100;
const ownId = /^[\w.:-]{1,64}$/;

/** Requests to `/<node>/<namespace>/<path>`: who sends it, which rule it meets, and where that leads. */
export class RestEntry {
  readonly #options: RestEntryOptions;
  readonly #limits = new RequestLimits();

  constructor(options: RestEntryOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    try {
      const problem = await this.#answer(request, response);
      if (problem) sendProblem(response, problem);
    } catch (error) {
      this.#options.log.error("cannot answer a request of a rule", { error: describeError(error) });
      sendProblem(response, {
        status: 500,
        code: "internal",
        reason: "cloudcore cannot answer this request",
      });
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<EntryProblem | undefined> {
    const { url = "", method = "" } = request;
    if (method === "GET" && url === "/healthz") return void response.end("ok\n");
    const refused = refuseForm(request);
    if (refused) return refused;
    const caller = await this.#identify(request);
    if ("status" in caller) return caller;
    if (!this.#options.prove(request, caller.name)) return tooMany("connections");
    using place = this.#limits.enter(caller.name);
    if (!place) return tooMany("requests");
    return this.#route(caller, request, response);
  }

  async #identify(request: IncomingMessage): Promise<Caller | EntryProblem> {
    try {
      return (await this.#options.access.identify(request.headers.authorization)) ?? unauthorized;
    } catch (error) {
      return this.#apiProblem(error);
    }
  }

  async #route(
    caller: Caller,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<EntryProblem | undefined> {
    const { book, nodes } = this.#options;
    const read = readRequestPath(request.url ?? "");
    if (!read.ok) return { status: 400, code: "bad-path", reason: read.problem };
    const { path } = read;
    const match = book().ofRequest(path.namespace, path.parts);
    const denied = await this.#authorize(caller, path, match, request.method ?? "");
    if (denied) return denied;
    if (!match)
      return {
        status: 404,
        code: "no-rule",
        reason: `no rule of namespace ${JSON.stringify(path.namespace)} has this path`,
      };
    const { target, key } = match.rule;
    if (target.kind === "rest") return { status: 500, code: "internal", reason: "the rule leads nowhere" };
    const found = targetNodes(target.nodes, path.node, nodes);
    if (!found.ok)
      return { status: 404, code: "no-node", reason: `rule ${JSON.stringify(key)}: ${found.problem}` };
    const { services, brokers } = this.#options;
    const messageId = idOf(request);
    const accepted: RuleRequest = { match, path, nodes: found.nodes, messageId, request, response };
    if (path.isDryRun) return this.#show(accepted);
    response.setHeader(messageIdHeader, messageId);
    return target.kind === "eventbus" ? brokers.answer(accepted, target) : services.answer(accepted, target);
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

  #show({ match, path, nodes, messageId, request, response }: RuleRequest): undefined {
    const { services, brokers } = this.#options;
    const { rule } = match;
    const shown = nodes.slice(0, mostShown).map((node) => ({
      node,
      connected: this.#options.nodes.isConnected(node),
      ...(rule.target.kind === "eventbus"
        ? brokers.show(match, rule.target, node)
        : services.show({ match, path, node, request })),
    }));
    sendJson(response, 200, {
      dryRun: true,
      rule: rule.key,
      messageId,
      nodeCount: nodes.length,
      wouldSend: shown,
    });
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

function refuseForm({ method = "", headers }: IncomingMessage): EntryProblem | undefined {
  if (verbOfMethod(method) === undefined)
    return {
      status: 405,
      code: "method",
      reason: `method ${method.slice(0, 20)} is not served`,
      headers: { allow: "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE" },
    };
  // The parser takes -1 for no length.
  if (!/^\d{1,15}$/.test(headers["content-length"] ?? "0"))
    return { status: 400, code: "bad-length", reason: "the header Content-Length is no length" };
  if (headers.upgrade !== undefined)
    return {
      status: 501,
      code: "no-upgrade",
      reason: "connections are not upgraded: use server-sent events",
    };
  return undefined;
}

/** A client that repeats a request may give it the same id. */
function idOf({ headers }: IncomingMessage): string {
  const given = headers[messageIdHeader];
  return typeof given === "string" && ownId.test(given) ? given : randomUUID();
}
