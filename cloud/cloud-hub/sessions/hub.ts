import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import {
  closeCodes,
  cloudHandshakeHeaders,
  largestMessageBytes,
  type DownstreamMessage,
  type NodeReply,
} from "#cloud/cloud-hub/codec";
import type { NodeGate } from "#cloud/cloud-hub/node-access";
import type { Clock } from "#shared/clock";
import { describeError, quote, UnavailableError } from "#shared/errors";
import { KeyedQueue } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { ByteStream, StreamHead } from "#shared/streams";
import { WebSocketTransport, type FrameTransport } from "#shared/transport";
import { ConnectionAdmission, refuseUpgrade, type AdmittedPeer, type RefusedUpgrade } from "./admission.ts";
import type { NodeLinks } from "./downstream.ts";
import type { Duplicates } from "./duplicates.ts";
import type { CloudHubPort } from "./port.ts";
import type { QuestionOptions } from "./questions.ts";
import { Session } from "./session.ts";
import { Upstream } from "./upstream.ts";

/** For the closing handshakes of all sessions at shutdown. */
const drainMs = 3000;
/** An edgecore that is alive answers within this, over any link. */
const aliveMs = 5000;
/** A node that connects again and again must not fill the memory. */
const mostRetiring = 1000;

export interface HubOptions {
  readonly keepaliveMs: number;
  readonly writeTimeoutMs: number;
  readonly nodeLimit: number;
  readonly sharedCertificate: boolean;
  readonly gate: NodeGate;
  readonly duplicates: Duplicates;
  /** Name of the database of this cloud, sent to the nodes. */
  readonly database: string | undefined;
  /** Whether there is a device controller. */
  readonly devices: boolean;
  /** Whether there is a router. */
  readonly rules: boolean;
  readonly port: CloudHubPort;
  /** Opens a stream to a node without streams of its own. @throws UnavailableError when there is no way to it */
  readonly openTunnelled: (node: string, head: StreamHead) => ByteStream;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Connected {
  readonly session: Session;
  readonly by: AdmittedPeer;
}

/** The sessions of all connected nodes: at most one a node, the newest. */
export class Hub implements NodeLinks, AsyncDisposable {
  readonly #options: HubOptions;
  readonly #admission: ConnectionAdmission;
  readonly #upstream: Upstream;
  readonly #sessions = new Map<string, Connected>();
  readonly #open = new Set<FrameTransport>();
  readonly #retiring = new Set<Session>();
  /** Emits that nodes connect and disconnect, of each node in order. */
  readonly #presence: KeyedQueue<string>;
  readonly #server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: largestMessageBytes,
  });
  #closed = false;

  constructor(options: HubOptions) {
    this.#options = options;
    this.#presence = new KeyedQueue((node, error) =>
      options.log.error("cannot report the presence of a node", { node, error: describeError(error) }),
    );
    this.#admission = new ConnectionAdmission(options);
    this.#upstream = new Upstream({ ...options, send: (node, message) => this.send(node, message) });
    const promised = cloudHandshakeHeaders(options.database);
    this.#server.on("headers", (headers) => headers.push(...promised));
  }

  /** Takes over a request to become a WebSocket, or answers why not. Resolves whether it took it over. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<boolean> {
    const admitted = await this.admit(request);
    if (socket.destroyed) return false;
    const found = "code" in admitted ? admitted : (this.#refuseOneTooMany(admitted) ?? admitted);
    if ("code" in found) {
      refuseUpgrade(socket, found);
      return false;
    }
    this.#server.handleUpgrade(request, socket, head, (webSocket) =>
      this.#accept(found, new WebSocketTransport(webSocket)),
    );
    return true;
  }

  /** Decides about a request without taking it over. @param header that names the node */
  async admit(request: IncomingMessage, header?: string): Promise<AdmittedPeer | RefusedUpgrade> {
    if (!this.#closed) return this.#admission.judge(request, header);
    const refused = { code: 503, text: "cloudcore shuts down" };
    this.#admission.warn(request, refused);
    return refused;
  }

  /** The admission of a node may have changed: it is decided again. */
  async review(node: string): Promise<void> {
    const connected = this.#sessions.get(node);
    if (!connected) return;
    const refusal = await this.#options.gate.admit(node, connected.by.peer.shown);
    if (refusal) connected.session.end(closeCodes.refused, refusal.text);
  }

  send(node: string, message: DownstreamMessage): void {
    this.#sessions.get(node)?.session.send(message);
  }

  /** @throws UnavailableError when the node is not connected, disconnects, or does not answer in time */
  async ask(node: string, question: DownstreamMessage, options: QuestionOptions): Promise<NodeReply> {
    const connected = this.#sessions.get(node);
    if (!connected) throw new UnavailableError("not-connected", `Node "${node}" is not connected`);
    return connected.session.ask(question, options);
  }

  /** @throws as `ask`, and UnavailableError when the node could not carry it out */
  async command(node: string, message: DownstreamMessage, options: QuestionOptions): Promise<boolean> {
    if (this.#sessions.get(node)?.by.streams === false) {
      this.send(node, message);
      return false;
    }
    const reply = await this.ask(node, message, options);
    if (reply.isError) throw new UnavailableError("node-failed", `Node "${node}" failed: ${reply.text}`);
    return true;
  }

  /** @throws UnavailableError when the node is not connected, has no streams or too many open; RangeError: the head is too long */
  openStream(node: string, head: StreamHead): ByteStream {
    const connected = this.#sessions.get(node);
    if (!connected) throw new UnavailableError("not-connected", `Node "${node}" is not connected`);
    return connected.session.openStream(head) ?? this.#options.openTunnelled(node, head);
  }

  close(node: string, reason: string): void {
    this.#sessions.get(node)?.session.end(1008, reason);
  }

  sweep(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const { session } of this.#sessions.values()) session.sweep(nowMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const { session } of this.#sessions.values()) session.end(1001, "cloudcore shuts down");
    for (const session of this.#retiring) session.hangUp(1001, "cloudcore shuts down");
    const closing = [...this.#open].map(({ closed }) => closed);
    const late = Promise.withResolvers<void>();
    using _timer = this.#options.clock.after(drainMs, late.resolve);
    await Promise.race([Promise.all([...closing, this.#presence.idle()]), late.promise]);
    for (const transport of this.#open) transport.terminate();
    this.#server.close();
  }

  #refuseOneTooMany({ node }: AdmittedPeer): RefusedUpgrade | undefined {
    const { nodeLimit } = this.#options;
    if (this.#sessions.has(node) || this.#sessions.size < nodeLimit) return undefined;
    return { code: 429, text: `too many nodes: at most ${nodeLimit} may connect` };
  }

  #accept(by: AdmittedPeer, transport: FrameTransport): void {
    const { node, database, peer, streams } = by;
    const { log, port, gate } = this.#options;
    this.#open.add(transport);
    void transport.closed.then(() => this.#open.delete(transport));
    const session = this.#startSession(by, transport);
    const before = this.#sessions.get(node);
    this.#sessions.set(node, { session, by });
    if (before) this.#replace(before, by);
    if (this.#closed) {
      session.end(1001, "cloudcore shuts down");
      return;
    }
    const commonName = peer.shown.isShared ? { sharedCertificate: quote(peer.commonName) } : {};
    log.info("a node is connected", { node, ...commonName });
    gate.connected(node, peer.shown);
    // Something may have changed between the admission and now.
    void this.review(node);
    this.#presence.run(node, () => port.emit("node.connected", { node, database, streams }));
  }

  #startSession({ node, streams }: AdmittedPeer, transport: FrameTransport): Session {
    const { clock, log, port, keepaliveMs, writeTimeoutMs } = this.#options;
    return new Session({
      node,
      transport,
      streams,
      keepaliveMs,
      writeTimeoutMs,
      clock,
      log,
      sending: (id, object) => port.ask("object.sending", { node: id, object }),
      acked: (id, object, deleted) => void port.emit("object.acked", { ...object, node: id, deleted }),
      forward: (id, message) => void this.#upstream.forward(id, message),
      store: (upload) => this.#upstream.store(upload),
      accept: (id, stream) => void this.#upstream.accept(id, stream),
      ended: (ended, reason) => this.#ended(ended, reason),
    });
  }

  /** The newest connection wins. One whose edgecore dialed again is dead; one that still answers is of another edgecore. */
  #replace({ session, by: older }: Connected, newer: AdmittedPeer): void {
    if (this.#retiring.size >= mostRetiring) {
      void session.retire(0);
      session.hangUp(1001, "the node connected again");
      return;
    }
    this.#retiring.add(session);
    void this.#retire(session, older, newer);
  }

  async #retire(session: Session, older: AdmittedPeer, newer: AdmittedPeer): Promise<void> {
    const { node, address } = newer;
    const isAlive = await session.retire(aliveMs);
    this.#retiring.delete(session);
    if (!isAlive) return session.hangUp(1001, "the node connected again");
    session.hangUp(closeCodes.duplicate, `another edgecore connected as "${node}" from ${address}`);
    await this.#options.duplicates.report(node, older, newer);
  }

  /** A session that was replaced ends silently: its node is still connected. */
  #ended(session: Session, reason: string): void {
    const { node } = session;
    if (this.#sessions.get(node)?.session !== session) return;
    this.#sessions.delete(node);
    this.#options.log.info("a node is disconnected", { node, reason });
    this.#presence.run(node, () => this.#options.port.emit("node.disconnected", { node, reason }));
  }
}
