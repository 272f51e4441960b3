import { createServer as createHttpServer, type Server } from "node:http";
import type { Socket } from "node:net";
import { createServer, type Server as TlsServer, type TlsOptions, type TLSSocket } from "node:tls";
import type { Clock } from "#shared/clock";
import type { ConnectionBudget, Place } from "./budget.ts";
import { asError, ConfigError } from "#shared/errors";

/** Many round trips of a slow mobile link; a peer that stalls holds its place no longer. */
const handshakeTimeoutMs = 10_000;
/** For connections in their handshake when the server closes. */
const closeMs = 500;
/** A connection that is not released has this long: one request takes no minute. */
const requestsMs = 60_000;

export interface SecureServer extends AsyncDisposable {
  readonly http: Server;
  readonly port: number;
  /** Lets a connection live on: it became a WebSocket. */
  release(socket: Socket): void;
  /** Serves new connections with another certificate and CA; those that are open stay. */
  renew(pems: Pick<TlsOptions, "ca" | "cert" | "key">): void;
}

/** A node reconnects before its old connection is found dead, and asks for certificates beside it. */
const mostOfOneName = 16;

export interface SecureServerOptions {
  readonly tls: TlsOptions;
  readonly address: string;
  readonly port: number;
  /** what listens, for an error */
  readonly what: string;
  readonly clock: Clock;
  readonly connections: ConnectionBudget;
  /** Of a certificate that any number of nodes share. */
  readonly isShared: (commonName: string) => boolean;
}

/**
 * HTTP over a TLS server of our own, whose sockets have the peer's certificate. Connections are admitted by a budget from
 * their first packet on, and count no longer against their address once they show a certificate of our CA. They are dropped
 * after a minute unless released, so that slow ones hold nothing. Disposing drops all connections.
 * @throws ConfigError when the port cannot be used
 */
export async function listenSecurely(options: SecureServerOptions): Promise<SecureServer> {
  const http = createHttpServer();
  http.on("clientError", (_error, socket) => socket.destroy());
  const server = createServer({
    minVersion: "TLSv1.2",
    handshakeTimeout: handshakeTimeoutMs,
    ...options.tls,
  });
  const open = passConnections(server, http, options);
  await listen(server, options);
  return {
    http,
    port: portOf(server),
    release: (socket) => open.get(socket)?.[Symbol.dispose](),
    renew: (pems) => server.setSecureContext(pems),
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      for (const [socket, timer] of open) {
        timer[Symbol.dispose]();
        socket.destroy();
      }
      // Connections in their handshake are not ours yet: they end with the handshake's time limit.
      using _late = options.clock.after(closeMs, closed.resolve);
      await closed.promise;
    },
  };
}

/** Passes connections that may stay to HTTP. @returns those that are open, each with the timer that would drop it */
function passConnections(
  server: TlsServer,
  http: Server,
  { clock, connections, isShared }: SecureServerOptions,
): ReadonlyMap<Socket, Disposable> {
  const open = new Map<Socket, Disposable>();
  const prove = admit(server, connections, isShared);
  server.on("secureConnection", (socket) => {
    if (!prove(socket)) return void socket.destroy();
    const timer = clock.after(requestsMs, () => socket.destroy());
    open.set(socket, timer);
    socket.once("close", () => {
      timer[Symbol.dispose]();
      open.delete(socket);
    });
    http.emit("connection", socket);
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  return open;
}

async function listen(server: TlsServer, { address, port, what }: SecureServerOptions): Promise<void> {
  const ready = Promise.withResolvers<void>();
  server.on("error", ready.reject);
  server.listen(port, address, () => ready.resolve());
  try {
    await ready.promise;
  } catch (error) {
    const text = `Cannot listen for ${what} on ${address}:${port}: ${asError(error).message}`;
    throw new ConfigError("hub-listen-failed", text, { cause: error });
  }
}

function portOf(server: TlsServer): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Gives each connection a place from its first packet on. @returns whether one may stay that has shown its certificate */
function admit(
  server: TlsServer,
  connections: ConnectionBudget,
  isShared: (commonName: string) => boolean,
): (socket: TLSSocket) => boolean {
  const places = new WeakMap<Socket, Place>();
  server.on("connection", (socket: Socket) => {
    const place = connections.admit(socket.remoteAddress, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    if (!place) return void socket.destroy();
    places.set(socket, place);
    socket.once("close", () => place.leave());
  });
  return (socket) => {
    const place = places.get(socket);
    const name = nameOf(socket);
    if (!place || name === undefined) return place !== undefined;
    return place.prove(`certificate ${name}`, isShared(name) ? Infinity : mostOfOneName);
  };
}

/** The name in a certificate that our CA signed. */
function nameOf(socket: TLSSocket): string | undefined {
  if (!socket.authorized) return undefined;
  // Bun returns null for a socket that is closed already, against its type.
  const certificate = socket.getPeerCertificate() as ReturnType<TLSSocket["getPeerCertificate"]> | null;
  const name: unknown = certificate?.subject?.CN;
  return typeof name === "string" && name !== "" ? name : undefined;
}
