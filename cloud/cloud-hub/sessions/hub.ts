import type { IncomingMessage } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import {
  isNodeName,
  nodeOfRequest,
  peerOf,
  refusePeer,
  type NodeGate,
  type Peer,
} from "#cloud/cloud-hub/node-access";
import type { Clock } from "#shared/clock";
import { quote, UnavailableError } from "#shared/errors";
import { Seldom, type Logger } from "#shared/log";
import type { DeliveredObject, NodeMessage } from "#shared/topics";
import { WebSocketTransport, type FrameTransport } from "#shared/transport";
import {
  answersAllHeader,
  closeCodes,
  databaseHeader,
  largestMessageBytes,
  type WireMessage,
} from "#shared/wire";
import type { Duplicates, Twin } from "./duplicates.ts";
import type { CloudHubPort } from "./port.ts";
import { Session } from "./session.ts";
import type { RequestOptions } from "./session-requests.ts";

const drainMs = 3000;
/** An edgecore that is alive answers within this, over any link. */
const aliveMs = 5000;
/** A node that connects again and again must not fill the memory. */
const mostRetiring = 1000;
/** A node that is refused must not try again at once. */
const refusedRetrySeconds = 60;

export interface HubOptions {
  readonly keepaliveMs: number;
  readonly writeTimeoutMs: number;
  readonly nodeLimit: number;
  readonly sharedCertificate: boolean;
  readonly gate: NodeGate;
  readonly duplicates: Duplicates;
  /** Name of the database of this cloud, sent to the nodes. */
  readonly database: string | undefined;
  readonly port: CloudHubPort;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Refused {
  readonly code: number;
  readonly text: string;
  readonly retryAfterSeconds?: number;
}

/** A connection that may become the session of a node. */
interface Connecting extends Twin {
  readonly node: string;
  readonly peer: Peer;
}

interface Connected {
  readonly session: Session;
  readonly by: Connecting;
}

/** The sessions of all connected nodes: at most one a node, the newest. */
export class Hub implements AsyncDisposable {
  readonly #options: HubOptions;
  readonly #sessions = new Map<string, Connected>();
  readonly #open = new Set<FrameTransport>();
  readonly #retiring = new Set<Session>();
  readonly #seldom: Seldom;
  /** Tail of what is told of a node's coming and going, so that it is told in order. */
  readonly #presence = new Map<string, Promise<void>>();
  readonly #server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: largestMessageBytes,
  });
  #closed = false;

  constructor(options: HubOptions) {
    this.#options = options;
    this.#seldom = new Seldom(options.log, options.clock);
    const { database } = options;
    const said = [`${answersAllHeader}: true`, ...(database ? [`${databaseHeader}: ${database}`] : [])];
    this.#server.on("headers", (headers) => headers.push(...said));
  }

  /** Takes over a request to become a WebSocket, or answers why not. Resolves whether it took it over. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<boolean> {
    const admitted = await this.admit(request);
    if (socket.destroyed) return false;
    const found = "code" in admitted ? admitted : (this.#refuseOneTooMany(admitted) ?? admitted);
    if ("code" in found) {
      refuse(socket, found);
      return false;
    }
    this.#server.handleUpgrade(request, socket, head, (webSocket) =>
      this.#accept(found, new WebSocketTransport(webSocket)),
    );
    return true;
  }

  /** Decides about a request without taking it over. */
  async admit(request: IncomingMessage): Promise<Connecting | Refused> {
    const found = this.#look(request);
    const refused = "code" in found ? found : await this.#refuseKnown(found);
    if (!refused) return found;
    const fields = { reason: refused.text, address: request.socket.remoteAddress };
    this.#seldom.warn("refused a connection", fields, refused.text);
    return refused;
  }

  /** The admission of a node may be another now: it is looked at again. */
  async review(node: string): Promise<void> {
    const connected = this.#sessions.get(node);
    if (!connected) return;
    const refusal = await this.#options.gate.admit(node, connected.by.peer.shown);
    if (refusal) connected.session.end(closeCodes.refused, refusal.text);
  }

  send({ node, message }: NodeMessage): void {
    this.#sessions.get(node)?.session.send(message);
  }

  /** @throws UnavailableError when the node is not connected, goes away, or does not answer in time */
  async request({ node, message }: NodeMessage, options: RequestOptions): Promise<WireMessage> {
    const connected = this.#sessions.get(node);
    if (!connected) throw new UnavailableError("not-connected", `Node "${node}" is not connected`);
    return connected.session.request(message, options);
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
    for (const { session } of this.#sessions.values()) session.end(1001, "cloudcore stops");
    for (const session of this.#retiring) session.hangUp(1001, "cloudcore stops");
    const closing = [...this.#open].map(({ closed }) => closed);
    const late = Promise.withResolvers<void>();
    using _timer = this.#options.clock.after(drainMs, late.resolve);
    await Promise.race([Promise.all([...closing, ...this.#presence.values()]), late.promise]);
    for (const transport of this.#open) transport.terminate();
    this.#server.close();
  }

  #look(request: IncomingMessage): Connecting | Refused {
    if (this.#closed) return { code: 503, text: "cloudcore stops" };
    const node = nodeOfRequest(request.headers["node_id"], request.url);
    if (!isNodeName(node))
      return { code: 400, text: "expected the node's name, a lower-case DNS name, in header node_id" };
    const peer = peerOf(request.socket);
    if (!peer) return { code: 401, text: "expected a client certificate" };
    const bad = refusePeer(peer, node, this.#options.sharedCertificate);
    if (bad !== undefined) return { code: 403, text: bad, retryAfterSeconds: refusedRetrySeconds };
    const address = `${request.socket.remoteAddress ?? "an unknown address"}:${request.socket.remotePort ?? 0}`;
    return { node, peer, address, serial: peer.shown.serial, database: databaseOf(request) };
  }

  #refuseOneTooMany({ node }: Connecting): Refused | undefined {
    const { nodeLimit } = this.#options;
    if (this.#sessions.has(node) || this.#sessions.size < nodeLimit) return undefined;
    return { code: 429, text: `too many nodes: at most ${nodeLimit} may connect` };
  }

  async #refuseKnown({ node, peer }: Connecting): Promise<Refused | undefined> {
    const refusal = await this.#options.gate.admit(node, peer.shown);
    return refusal && { code: 403, text: refusal.text, retryAfterSeconds: refusedRetrySeconds };
  }

  #accept(by: Connecting, transport: FrameTransport): void {
    const { node, database, peer } = by;
    const { clock, log, port, gate, keepaliveMs, writeTimeoutMs } = this.#options;
    this.#open.add(transport);
    void transport.closed.then(() => this.#open.delete(transport));
    const session = new Session({
      node,
      transport,
      keepaliveMs,
      writeTimeoutMs,
      clock,
      log,
      sending: (id: string, object: DeliveredObject) => port.ask("object.sending", { node: id, object }),
      acked: (id, object, deleted) => void port.emit("object.acked", { ...object, node: id, deleted }),
      forward: (kind, message) =>
        kind === "twin" ? port.emit("twin.message", message) : port.emit("node.message", message),
      store: (message) => this.#store(message),
      ended: (ended, reason) => this.#ended(ended, reason),
    });
    const before = this.#sessions.get(node);
    this.#sessions.set(node, { session, by });
    if (before) this.#replace(before, by);
    if (this.#closed) {
      session.end(1001, "cloudcore stops");
      return;
    }
    const commonName = peer.shown.isShared ? { sharedCertificate: quote(peer.commonName) } : {};
    log.info("A node is connected", { node, ...commonName });
    gate.connected(node, peer.shown);
    // Something may have changed between the admission and now.
    void this.review(node);
    this.#tell(node, () => port.emit("node.connected", { node, database }));
  }

  /** The newest connection wins. One whose edgecore dialed again is dead; one that still answers is of another edgecore. */
  #replace({ session, by: older }: Connected, newer: Connecting): void {
    const tell = async (): Promise<void> => {
      const { node, address } = newer;
      const isAlive = await session.retire(aliveMs);
      this.#retiring.delete(session);
      if (isAlive)
        session.hangUp(closeCodes.duplicate, `another edgecore connected as "${node}" from ${address}`);
      else session.hangUp(1001, "the node connected again");
      if (isAlive) await this.#options.duplicates.report(node, older, newer);
    };
    if (this.#retiring.size >= mostRetiring) {
      void session.retire(0);
      session.hangUp(1001, "the node connected again");
      return;
    }
    this.#retiring.add(session);
    void tell();
  }

  async #store(upload: NodeMessage): Promise<boolean> {
    const { port, log } = this.#options;
    try {
      return await port.ask("node.upload", upload);
    } catch (error) {
      log.error("Cannot hand on what a node uploads", { node: upload.node, error });
      return false;
    }
  }

  /** A session that was replaced ends quietly: its node is still connected. */
  #ended(session: Session, reason: string): void {
    const { node } = session;
    if (this.#sessions.get(node)?.session !== session) return;
    this.#sessions.delete(node);
    this.#options.log.info("A node is disconnected", { node, reason });
    this.#tell(node, () => this.#options.port.emit("node.disconnected", { node, reason }));
  }

  #tell(node: string, say: () => Promise<void>): void {
    const tail = (this.#presence.get(node) ?? Promise.resolve()).then(say).finally(() => {
      if (this.#presence.get(node) === tail) this.#presence.delete(node);
    });
    this.#presence.set(node, tail);
  }
}

/** @returns undefined when the node does not say, or not in a form that can be kept */
function databaseOf({ headers }: IncomingMessage): string | undefined {
  const name = headers[databaseHeader];
  return typeof name === "string" && /^[\w-]{1,64}$/.test(name) ? name : undefined;
}

function refuse(socket: Duplex, { code, text, retryAfterSeconds }: Refused): void {
  const body = `${text}\n`;
  const retry = retryAfterSeconds === undefined ? "" : `Retry-After: ${retryAfterSeconds}\r\n`;
  socket.end(
    `HTTP/1.1 ${code} ${STATUS_CODES[code] ?? "Refused"}\r\nConnection: close\r\n${retry}` +
      `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
