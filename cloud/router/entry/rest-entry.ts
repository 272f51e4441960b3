import { sendJson, sendProblem, writeProblem, type EntryProblem } from "#cloud/router/http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { NodeDirectory } from "#cloud/router/nodes";
import { messageIdHeader } from "#cloud/router/senders";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { RuleRequest } from "./accepted.ts";
import type { BrokerRequests } from "./broker-requests.ts";
import type { RequestGate } from "./gate.ts";
import type { ServiceRequests } from "./service-requests.ts";
import type { Tunnels } from "./tunnels.ts";

export interface RestEntryOptions {
  readonly gate: RequestGate;
  readonly nodes: NodeDirectory;
  readonly services: ServiceRequests;
  readonly brokers: BrokerRequests;
  readonly tunnels: Tunnels;
  readonly log: Logger;
}

/** Nodes that a dry run names. */
const mostShown = 100;
const internal: EntryProblem = {
  status: 500,
  code: "internal",
  reason: "cloudcore cannot answer this request",
};

/** Requests to `/<node>/<namespace>/<path>`, and where they lead. */
export class RestEntry {
  readonly #options: RestEntryOptions;

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
      sendProblem(response, internal);
    }
  }

  /** A request to become a WebSocket, on a connection that has no further requests. Never rejects. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array): Promise<void> {
    socket.on("error", () => socket.destroy());
    try {
      const accepted = await this.#options.gate.accept(request);
      if ("status" in accepted) return writeProblem(socket, accepted);
      using _place = accepted;
      const problem = await this.#options.tunnels.open(accepted, socket, head);
      if (problem) writeProblem(socket, problem);
    } catch (error) {
      this.#options.log.error("cannot open a WebSocket of a rule", { error: describeError(error) });
      socket.destroy();
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<EntryProblem | undefined> {
    if (request.method === "GET" && request.url === "/healthz") return void response.end("ok\n");
    const { gate, services, brokers } = this.#options;
    const found = await gate.accept(request);
    if ("status" in found) return found;
    using _place = found;
    const accepted: RuleRequest = { ...found, response };
    if (found.path.isDryRun) return this.#show(accepted);
    const { target } = found.match.rule;
    response.setHeader(messageIdHeader, found.messageId);
    if (target.kind === "rest") return internal;
    // Awaited here: the place is held until all was answered.
    if (target.kind === "eventbus") return await brokers.answer(accepted, target);
    return await services.answer(accepted, target);
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
}
