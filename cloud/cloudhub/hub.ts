import type { IncomingMessage } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import type { Logger } from "#shared/log";
import {
  answersAllHeader,
  databaseHeader,
  largestMessageBytes,
  type DeliveredObject,
  type NodeMessage,
  type WireMessage,
} from "#shared/message";
import type { CloudHubPort } from "./index.ts";
import { identify, isNodeName, nodeOfRequest, peerOf } from "./identity.ts";
import { Session } from "./session.ts";
import type { RequestOptions } from "./session-requests.ts";

const drainMs = 3000;

export interface HubOptions {
  readonly keepaliveMs: number;
  readonly writeTimeoutMs: number;
  readonly nodeLimit: number;
  readonly legacyIdentity: boolean;
  readonly port: CloudHubPort;
  readonly clock: Clock;
  readonly log: Logger;
}

type Admission =
  | { readonly ok: true; readonly node: string }
  | { readonly ok: false; readonly code: number; readonly text: string };

interface Connecting {
  readonly node: string;
  readonly database: string | undefined;
}

/** The sessions of all connected nodes: at most one a node, the newest. */
export class Hub implements AsyncDisposable {
  readonly #options: HubOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #open = new Set<WebSocket>();
  readonly #told = new Set<string>();
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
    this.#server.on("headers", (headers) => headers.push(`${answersAllHeader}: true`));
  }

  /** Takes over a request to become a WebSocket, or answers why not. @returns whether it took it over */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const admission = this.#admit(request);
    if (!admission.ok) {
      this.#options.log.warn("Refused a connection", { reason: admission.text });
      refuse(socket, admission.code, admission.text);
      return false;
    }
    const { node } = admission;
    const database = databaseOf(request);
    this.#server.handleUpgrade(request, socket, head, (webSocket) =>
      this.#accept({ node, database }, webSocket),
    );
    return true;
  }

  send({ node, message }: NodeMessage): void {
    this.#sessions.get(node)?.send(message);
  }

  /** @throws UnavailableError when the node is not connected, goes away, or does not answer in time */
  async request({ node, message }: NodeMessage, options: RequestOptions): Promise<WireMessage> {
    const session = this.#sessions.get(node);
    if (!session) throw new UnavailableError("not-connected", `Node "${node}" is not connected`);
    return session.request(message, options);
  }

  close(node: string, reason: string): void {
    this.#sessions.get(node)?.end(1008, reason);
  }

  sweep(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const session of this.#sessions.values()) session.sweep(nowMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const session of this.#sessions.values()) session.end(1001, "cloudcore stops");
    const closing = [...this.#open].map(
      (socket) => new Promise<void>((resolve) => void socket.once("close", () => resolve())),
    );
    const late = Promise.withResolvers<void>();
    using _timer = this.#options.clock.after(drainMs, late.resolve);
    await Promise.race([Promise.all([...closing, ...this.#presence.values()]), late.promise]);
    for (const socket of this.#open) socket.terminate();
    this.#server.close();
  }

  #admit(request: IncomingMessage): Admission {
    if (this.#closed) return { ok: false, code: 503, text: "cloudcore stops" };
    const node = nodeOfRequest(request.headers["node_id"], request.url);
    if (!isNodeName(node))
      return {
        ok: false,
        code: 400,
        text: "expected the node's name, a lower-case DNS name, in header node_id",
      };
    const peer = peerOf(request.socket);
    if (!peer) return { ok: false, code: 401, text: "expected a client certificate" };
    const identity = identify(peer, node);
    if (identity === "other" || (identity === "legacy" && !this.#options.legacyIdentity))
      return {
        ok: false,
        code: 403,
        text: `the certificate of "${peer.commonName}" does not speak for "${node}"`,
      };
    if (identity === "legacy") this.#tellOnce(node, peer.commonName);
    if (!this.#sessions.has(node) && this.#sessions.size >= this.#options.nodeLimit)
      return { ok: false, code: 429, text: `too many nodes: at most ${this.#options.nodeLimit} may connect` };
    return { ok: true, node };
  }

  #tellOnce(node: string, commonName: string): void {
    if (this.#told.has(node) || this.#told.size >= 10_000) return;
    this.#told.add(node);
    this.#options.log.warn("A node uses a certificate that does not name it", { node, commonName });
  }

  #accept({ node, database }: Connecting, socket: WebSocket): void {
    const { clock, log, port, keepaliveMs, writeTimeoutMs } = this.#options;
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    const session = new Session({
      node,
      socket,
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
    this.#sessions.set(node, session);
    before?.end(1001, "the node connected again");
    if (this.#closed) {
      session.end(1001, "cloudcore stops");
      return;
    }
    log.info("A node is connected", { node });
    this.#tell(node, () => port.emit("node.connected", { node, database }));
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
    if (this.#sessions.get(node) !== session) return;
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

function refuse(socket: Duplex, code: number, text: string): void {
  const body = `${text}\n`;
  socket.end(
    `HTTP/1.1 ${code} ${STATUS_CODES[code] ?? "Refused"}\r\nConnection: close\r\n` +
      `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
