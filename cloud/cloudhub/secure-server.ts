import { createServer as createHttpServer, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { createServer, type TlsOptions } from "node:tls";
import type { Clock } from "#shared/clock";
import { asError, ConfigError } from "#shared/errors";

const handshakeTimeoutMs = 15_000;
const closeMs = 500;
const requestsMs = 60_000;

export interface SecureServer extends AsyncDisposable {
  readonly http: Server;
  readonly port: number;
  /** Lets a connection live on: it became a WebSocket. */
  release(socket: Socket): void;
  /** Serves new connections with another certificate and CA; those that are open stay. */
  renew(pems: Pick<TlsOptions, "ca" | "cert" | "key">): void;
}

/**
 * HTTP over a TLS server of our own, whose sockets tell the peer's certificate. Connections are dropped after a
 * minute unless released, so that slow ones hold nothing. Disposing drops all connections.
 */
export async function listenSecurely(options: {
  readonly tls: TlsOptions;
  readonly address: string;
  readonly port: number;
  readonly what: string;
  readonly clock: Clock;
}): Promise<SecureServer> {
  const { address, port, what, clock } = options;
  const http = createHttpServer();
  const sockets = new Map<Socket, Disposable>();
  const release = (socket: Socket): void => sockets.get(socket)?.[Symbol.dispose]();
  const server = createServer({
    minVersion: "TLSv1.2",
    handshakeTimeout: handshakeTimeoutMs,
    ...options.tls,
  });
  server.on("secureConnection", (socket) => {
    sockets.set(
      socket,
      clock.after(requestsMs, () => socket.destroy()),
    );
    socket.once("close", () => {
      release(socket);
      sockets.delete(socket);
    });
    socket.on("error", () => socket.destroy());
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
