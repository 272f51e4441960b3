import type { EventEmitter } from "node:events";
import { createServer as createHttpServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "#shared/clock";
import { offerOf, type UpgradeOffer } from "./offer.ts";
import { requestOf, writeAnswer, writeToSocket } from "./plain-answer.ts";

const mostListeners = 32;
/** For what is on its way to the client: closing earlier could drop it. */
const lingerMs = 2_000;

export type ListenAddress =
  | { readonly unix: string }
  | {
      readonly hostname: string;
      readonly port: number;
      readonly tls?: { readonly cert: string; readonly key: string };
    };

export interface UpgradeServerOptions {
  readonly address: ListenAddress;
  /** Requests with a larger body are refused (413). */
  readonly mostBodyBytes: number;
  /** Routes, in the form of `Bun.serve`, whose requests may become another protocol. */
  readonly upgradable: readonly string[];
  readonly fetch: (request: Request, server: Bun.Server<undefined>) => Response | Promise<Response>;
  /**
   * Answers a request of an upgradable route; without an offer it asked for no other protocol. When the offer was
   * accepted, the answer is dropped.
   */
  readonly upgrade: (request: Request, offer: UpgradeOffer | undefined) => Promise<Response>;
  readonly clock: Clock;
}

export interface UpgradeServer {
  /** undefined on a Unix socket */
  readonly port: number | undefined;
  stop(closeActive?: boolean): Promise<void>;
}

/**
 * An HTTP server some of whose routes hand over the socket. `Bun.serve` alone upgrades to WebSockets and nothing else; `node:http`,
 * which on Bun stands on `Bun.serve`, hands over sockets, but costs half as much again for each request. Bun answers the routes of a
 * server before `node:http` sees a request, so both are one server: everything but the upgradable routes is answered natively.
 * @throws Error when the address cannot be listened on
 */
export function serveUpgrades(options: UpgradeServerOptions): UpgradeServer {
  const { address } = options;
  const tls = "tls" in address ? address.tls : undefined;
  const node = tls ? createHttpsServer({ ...tls }) : createHttpServer();
  // Bun answers most requests, and connections may stay idle: nothing here may end them.
  Object.assign(node, { timeout: 0, requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0 });
  answerUpgrades(node, options);
  const bun = listenWithRoutes(node, options);
  return {
    port: bun.port,
    stop: async (closeActive) => {
      if (closeActive === true) node.closeAllConnections();
      await bun.stop(closeActive);
      node.close();
    },
  };
}

export interface AnswerUpgrades extends Pick<UpgradeServerOptions, "clock"> {
  /** As of `UpgradeServerOptions`. @param socket with the certificate of the peer */
  readonly upgrade: (request: Request, offer: UpgradeOffer | undefined, socket: Socket) => Promise<Response>;
}

/** Answers all requests of a server of `node:http`, bodies apart, and hands over those that become another protocol. */
export function answerUpgrades(server: Server, { upgrade, clock }: AnswerUpgrades): void {
  server.on("request", (request, response) => {
    const left = leftOf(response);
    void answer(request, left, (asked) => upgrade(asked, undefined, request.socket)).then((made) =>
      writeAnswer(response, made),
    );
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Uint8Array) => {
    socket.on("error", () => socket.destroy());
    // What goes on with it waits for its end in several places.
    socket.setMaxListeners(mostListeners);
    endInTime(socket, clock);
    const offer = offerOf(request, socket, head);
    void answer(request, leftOf(socket), (asked) => upgrade(asked, offer, request.socket)).then((made) =>
      offer.isTaken ? undefined : writeToSocket(socket, made),
    );
  });
}

/** A client that was answered and does not close its side holds the socket no longer. */
function endInTime(socket: Duplex, clock: Clock): void {
  socket.once("finish", () => {
    const timer = clock.after(lingerMs, () => socket.destroy());
    socket.once("close", () => timer[Symbol.dispose]());
  });
}

/** Aborts when the connection is closed. */
function leftOf(connection: EventEmitter): AbortSignal {
  const left = new AbortController();
  connection.once("close", () => left.abort());
  return left.signal;
}

async function answer(
  request: IncomingMessage,
  left: AbortSignal,
  upgrade: (request: Request) => Promise<Response>,
): Promise<Response> {
  const asked = requestOf(request, left);
  return asked ? upgrade(asked) : new Response("400 Bad Request\n", { status: 400 });
}

/** `node:http` names no routes, so they are added in the call of `Bun.serve` that its `listen` makes. */
function listenWithRoutes(node: Server, options: UpgradeServerOptions): Bun.Server<undefined> {
  const { address, fetch, upgradable, mostBodyBytes } = options;
  const made: { server?: Bun.Server<undefined>; error?: unknown } = {};
  const { serve } = Bun;
  const routes = { "/*": fetch, ...Object.fromEntries(upgradable.map((route) => [route, false])) };
  const replacement = (given: object): Bun.Server<undefined> => {
    const settings = { ...given, maxRequestBodySize: mostBodyBytes, development: false, routes };
    try {
      // Its types know neither what node:http hands over nor routes that are passed on (`false`).
      return (made.server = serve(settings as unknown as Bun.Serve.Options<undefined>));
    } catch (error) {
      made.error = error;
      throw error;
    }
  };
  node.once("error", () => undefined);
  try {
    Object.assign(Bun, { serve: replacement });
    if ("unix" in address) node.listen(address.unix);
    else node.listen(address.port, address.hostname);
  } finally {
    Object.assign(Bun, { serve });
  }
  if (made.error !== undefined) throw made.error;
  if (!made.server) throw new Error("node:http of this version of Bun does not listen with Bun.serve");
  return made.server;
}
