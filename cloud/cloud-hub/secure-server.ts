import { createServer as createHttpServer, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { createServer, type Server as TlsServer, type TlsOptions, type TLSSocket } from "node:tls";
import type { Clock } from "#shared/clock";
import type { ConnectionBudget, Place } from "#shared/connections";
import { asError, ConfigError } from "#shared/errors";

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

/**
 * HTTP over a TLS server of our own, whose sockets have the peer's certificate. Connections are admitted by a budget from
 * their first packet on, and count no longer against their address once they show a certificate of our CA. They are dropped
 * after a minute unless released, so that slow ones hold nothing. Disposing drops all connections.
 */
export async function listenSecurely(options: {
  readonly tls: TlsOptions;
  readonly address: string;
  readonly port: number;
  readonly what: string;
  readonly clock: Clock;
  readonly connections: ConnectionBudget;
  /** Of a certificate that any number of nodes share. */
  readonly isShared: (commonName: string) => boolean;
}): Promise<SecureServer> {
  const { address, port, what, clock, connections, isShared } = options;
  const http = createHttpServer();
  const sockets = new Map<Socket, Disposable>();
  const release = (socket: Socket): void => sockets.get(socket)?.[Symbol.dispose]();
  const server = createServer({
    minVersion: "TLSv1.2",
    handshakeTimeout: handshakeTimeoutMs,
    ...options.tls,
  });
  const prove = admit(server, connections, isShared);
  server.on("secureConnection", (socket) => {
    if (!prove(socket)) return void socket.destroy();
    sockets.set(
      socket,
      clock.after(requestsMs, () => socket.destroy()),
    );
    socket.once("close", () => {
      release(socket);
      sockets.delete(socket);
    });
    http.emit("connection", socket);
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  http.on("clientError", (_error, socket) => socket.destroy());
  const ready = Promise.withResolvers<void>();
  server.on("error", ready.reject);
  server.listen(port, address, () => ready.resolve());
  try {
    await ready.promise;
  } catch (error) {
    const text = `Cannot listen for ${what} on ${address}:${port}: ${asError(error).message}`;
    throw new ConfigError("hub-listen-failed", text, { cause: error });
  }
  return {
    http,
    port: (server.address() as AddressInfo).port,
    release,
    renew: (pems) => server.setSecureContext(pems),
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      for (const [socket, timer] of sockets) {
        timer[Symbol.dispose]();
        socket.destroy();
      }
      // connections in their handshake are not ours yet: they end with the handshake's time limit
      using _late = clock.after(closeMs, closed.resolve);
      await closed.promise;
    },
  };
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
