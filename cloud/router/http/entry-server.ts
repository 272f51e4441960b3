import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "#shared/clock";
import type { ConnectionBudget, Place } from "#shared/connections";
import { asError, ConfigError, describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { sendProblem, type EntryProblem } from "./reply.ts";

export interface EntryPems {
  readonly cert: string;
  readonly key: string;
}

export interface EntryServerOptions {
  readonly address: string;
  /** 0 for any free one */
  readonly port: number;
  readonly pems: EntryPems;
  readonly connections: ConnectionBudget;
  readonly clock: Clock;
  readonly log: Logger;
  /** It listens there. */
  readonly reportPort: (port: number) => void;
  readonly handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  /** A request to become a WebSocket: the connection belongs to it from now on. */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Uint8Array) => Promise<void>;
}

/** The port may be in use by a program that ends. */
const retryMs = 10_000;
/** TLS handshake and the head of a request. */
const headMs = 10_000;
/** Between two requests of a connection. */
const idleMs = 60_000;
/** Tokens, cookies and what browsers send; node's default is 16 KiB. */
const largestHead = 32 * 1024;
/** Connections of one user: more than requests at once. */
const mostOfUser = 512;
const badRequest = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/**
 * The HTTPS server of the REST entry. Its parser refuses what proxies read differently (conflicting lengths, folded and malformed
 * headers). Connections are admitted by a budget from their first packet on; those that send no request in time are dropped.
 * A port that is taken stops nothing else of cloudcore: it is tried again until it is free.
 */
export class EntryServer implements AsyncDisposable {
  readonly #options: EntryServerOptions;
  readonly #places = new WeakMap<Socket, Place>();
  /** of all open connections */
  readonly #timers = new Map<Socket, Disposable>();
  #server: Server | undefined;
  #port: number;
  #pems: EntryPems;
  #retry: Disposable | undefined;
  #isStopped = false;

  private constructor(options: EntryServerOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#pems = options.pems;
  }

  /** Resolves when it listens, or waits for its port. @throws Error when the certificate cannot be used */
  static async start(options: EntryServerOptions): Promise<EntryServer> {
    const server = new EntryServer(options);
    await server.#listenOrRetry();
    return server;
  }

  /** Where it listens, or will. */
  get port(): number {
    return this.#port;
  }

  /** The sender of a request on this connection is known. @returns false when that user has too many connections */
  prove(socket: Socket, user: string): boolean {
    return this.#places.get(socket)?.prove(`user ${user}`, mostOfUser) ?? false;
  }

  /** Serves new connections with another certificate; those that are open stay. */
  async renew(pems: EntryPems): Promise<void> {
    this.#pems = pems;
    this.#server?.close();
    this.#server = undefined;
    await this.#listenOrRetry();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.#retry?.[Symbol.dispose]();
    this.#server?.close();
    for (const [socket, timer] of this.#timers) {
      timer[Symbol.dispose]();
      socket.destroy();
    }
    this.#timers.clear();
  }

  #create({ cert, key }: EntryPems): Server {
    const tls = { cert, key, minVersion: "TLSv1.2", maxHeaderSize: largestHead } as const;
    const server = createServer(tls, (request, response) => void this.#request(request, response));
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Uint8Array) => {
      this.#timers.get(request.socket)?.[Symbol.dispose]();
      void this.#options.upgrade(request, socket, head);
    });
    server.requestTimeout = 0;
    server.keepAliveTimeout = idleMs;
    server.on("connection", (socket: Socket) => this.#connected(socket));
    server.on("clientError", (_error, socket) => {
      if (socket.writable) socket.end(badRequest);
      else socket.destroy();
    });
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    return server;
  }

  async #listenOrRetry(): Promise<void> {
    const { clock, log, reportPort } = this.#options;
    this.#retry?.[Symbol.dispose]();
    const server = this.#create(this.#pems);
    try {
      this.#port = await this.#listen(server);
    } catch (error) {
      log.error("cannot listen for requests of rules, retrying", { error: describeError(error) });
      if (!this.#isStopped) this.#retry = clock.after(retryMs, () => void this.#listenOrRetry());
      return;
    }
    if (this.#isStopped) return void server.close();
    this.#server = server;
    log.info("listening for requests of rules", { port: this.#port });
    reportPort(this.#port);
  }

  /** @returns the port that it got @throws ConfigError */
  async #listen(server: Server): Promise<number> {
    const { address } = this.#options;
    const ready = Promise.withResolvers<void>();
    server.on("error", ready.reject);
    server.listen(this.#port, address, () => ready.resolve());
    try {
      await ready.promise;
    } catch (error) {
      const text = `Cannot listen for requests of rules on ${address}:${this.#port}: ${asError(error).message}; router.port names another`;
      throw new ConfigError("router-listen-failed", text, { cause: error });
    }
    const bound = server.address();
    return typeof bound === "object" && bound !== null ? bound.port : this.#port;
  }

  #connected(socket: Socket): void {
    const place = this.#options.connections.admit(socket.remoteAddress, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    if (!place) return void socket.destroy();
    this.#places.set(socket, place);
    this.#limit(socket, headMs);
    socket.once("close", () => {
      place.leave();
      this.#timers.get(socket)?.[Symbol.dispose]();
      this.#timers.delete(socket);
    });
  }

  async #request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    this.#timers.get(socket)?.[Symbol.dispose]();
    response.once("close", () => {
      if (this.#timers.has(socket)) this.#limit(socket, idleMs);
    });
    if (hasAmbiguousBody(request)) {
      response.setHeader("connection", "close");
      return sendProblem(response, ambiguousBody);
    }
    await this.#options.handle(request, response);
  }

  #limit(socket: Socket, ms: number): void {
    this.#timers.get(socket)?.[Symbol.dispose]();
    this.#timers.set(
      socket,
      this.#options.clock.after(ms, () => socket.destroy()),
    );
  }
}

const ambiguousBody: EntryProblem = {
  status: 400,
  code: "bad-body",
  reason: "the transfer encoding is not chunked, or there is a length as well",
};

/**
 * Whether two programs may read different bodies (RFC 9112, 6.1 and 6.3). The parser reports such a request before it
 * fails at what follows, and must not have passed it on by then.
 */
function hasAmbiguousBody({ headers }: IncomingMessage): boolean {
  const encoding = headers["transfer-encoding"];
  return encoding !== undefined && (encoding !== "chunked" || headers["content-length"] !== undefined);
}
