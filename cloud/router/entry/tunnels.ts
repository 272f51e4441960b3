import type { EntryProblem } from "#cloud/router/http";
import type { Duplex } from "node:stream";
import type { NodeSender } from "#cloud/router/senders";
import type { RuleCounters } from "#cloud/router/state";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { ByteStream } from "#shared/streams";
import type { AcceptedRequest } from "./accepted.ts";
import { callOf, problemOf } from "./service-call.ts";

export interface TunnelsOptions {
  readonly sender: NodeSender;
  readonly counters: RuleCounters;
  readonly clock: Clock;
}

/** A client that takes nothing for so long is gone, as with responses. */
const stallMs = 120_000;

/** WebSockets to servers on nodes: the node writes the handshake, and bytes pass as they are, on a connection of their own. */
export class Tunnels {
  readonly #options: TunnelsOptions;

  constructor(options: TunnelsOptions) {
    this.#options = options;
  }

  /** Resolves at the end of the WebSocket, or with why there is none. */
  async open(accepted: AcceptedRequest, socket: Duplex, head: Uint8Array): Promise<EntryProblem | undefined> {
    const { match, nodes, request, path } = accepted;
    const { sender, counters } = this.#options;
    const { rule } = match;
    const [node = "", second] = nodes;
    const isWebSocket = request.headers.upgrade?.toLowerCase() === "websocket" && request.method === "GET";
    if (!isWebSocket || rule.target.kind !== "servicebus" || second !== undefined || path.isDryRun)
      return noUpgrade;
    if (sender.isConnected(node) && !sender.canStream(node)) return noUpgrade;
    let stream: ByteStream;
    try {
      stream = await sender.tunnel(callOf({ ...accepted, node }));
    } catch (error) {
      const reason = describeError(error);
      counters.failed(rule.key, reason);
      return problemOf(error, reason);
    }
    socket.once("close", () => stream.reset("the client disconnected"));
    await Promise.all([this.#toNode(socket, stream, head), this.#toClient(stream, socket)]);
    counters.succeeded(rule.key);
    return undefined;
  }

  async #toNode(socket: Duplex, stream: ByteStream, head: Uint8Array): Promise<void> {
    const writer = stream.writable.getWriter();
    try {
      if (head.length > 0) await writer.write(head);
      // A socket yields the bytes that it reads.
      for await (const chunk of socket as AsyncIterable<Uint8Array>) await writer.write(chunk);
      await writer.close();
    } catch (error) {
      stream.reset(describeError(error));
    }
  }

  async #toClient(stream: ByteStream, socket: Duplex): Promise<void> {
    try {
      for await (const chunk of stream.readable)
        if (!socket.write(chunk) && !(await this.#drained(socket))) break;
    } catch {
      // The stream was reset: the connection ends with it.
    }
    socket.end();
    using _limit = this.#options.clock.after(1000, () => socket.destroy());
    await stream.closed;
  }

  async #drained(socket: Duplex): Promise<boolean> {
    const settled = Promise.withResolvers<boolean>();
    socket.once("drain", () => settled.resolve(true));
    socket.once("close", () => settled.resolve(false));
    using _timer = this.#options.clock.after(stallMs, () => settled.resolve(false));
    return await settled.promise;
  }
}

const noUpgrade: EntryProblem = {
  status: 501,
  code: "no-upgrade",
  reason: "only a WebSocket to one server on a node with this edgecore can be opened through a rule",
};
