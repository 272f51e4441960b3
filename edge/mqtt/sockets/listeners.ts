import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
import type { Clock } from "#shared/clock";
import type { BrokerConfig } from "#shared/config";
import { ConfigError, describeError, errorCodeOf } from "#shared/errors";
import { isOwnOrigin } from "#shared/local-http";
import type { Accept, SocketPeer } from "./peer.ts";
import { Places } from "./places.ts";

export interface Listener extends AsyncDisposable {
  /** Reads the certificate again. @throws ConfigError when it cannot be read; the old one stays in use */
  reload(): void;
  readonly port: number;
}

export interface Listeners extends AsyncDisposable {
  /** Reads the certificates again. @throws ConfigError when one cannot be read; the old one stays in use */
  reload(): void;
  readonly tcp: number;
  readonly websocket: number | undefined;
}

export interface ListenerHandlers {
  readonly accept: Accept;
  /** A TLS handshake failed, for instance because the client has no certificate or one of another CA. */
  readonly onTlsFailed: (address: string | undefined, problem: string) => void;
  /** A web page of an origin that is not allowed tried to connect. */
  readonly onOriginRefused: (address: string | undefined, origin: string) => void;
}

/** For TLS and for the WebSocket upgrade: enough for a microcontroller on a slow line. */
const handshakeMs = 10_000;

/**
 * Opens the broker's listeners, which share `mqtt.broker.max-connections`.
 * @throws ConfigError when an address is in use or a certificate cannot be read
 */
export async function listenForMqtt(
  config: BrokerConfig,
  { clock, accept, onTlsFailed, onOriginRefused }: ListenerHandlers & { readonly clock: Clock },
): Promise<Listeners> {
  await using stack = new AsyncDisposableStack();
  const places = new Places(config.maxConnections, clock);
  const tcp = stack.use(
    await listenAt({ url: config.url, port: 1884 }, { config, places, accept, onTlsFailed }),
  );
  const websocket = await listenForWebSockets(
    { config, places, accept, onTlsFailed, onOriginRefused },
    clock,
  );
  if (websocket) stack.use(websocket);
  const owned = stack.move();
  return {
    tcp: tcp.port,
    websocket: websocket?.port,
    reload: () => {
      tcp.reload();
      websocket?.reload();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Loads the WebSocket code only when it is needed: it takes memory, and most nodes have no such listener. */
async function listenForWebSockets(
  {
    accept,
    onOriginRefused,
    ...parts
  }: Omit<ListenParts, "accept"> & Pick<ListenerHandlers, "accept" | "onOriginRefused">,
  clock: Clock,
): Promise<Listener | undefined> {
  const { websocketUrl: url, maxPacketBytes } = parts.config;
  if (url === undefined) return undefined;
  const { upgradeSockets } = await import("./websocket.ts");
  const allowsOrigin = (origin: string): boolean => mayConnect(parts.config, readUrl(url, 1885).host, origin);
  const upgrade = upgradeSockets({
    maxPacketBytes,
    handshakeMs,
    clock,
    allowsOrigin,
    onOriginRefused,
    accept,
  });
  return listenAt({ url, port: 1885 }, { ...parts, accept: upgrade });
}

/**
 * A browser lets any page connect to any address that it can reach, and sends its client certificate without asking.
 * Allowed are pages of this machine, of the configured origins, and any page if every client needs a password, which the
 * page would have to know.
 */
function mayConnect(config: BrokerConfig, host: string, origin: string): boolean {
  if (config.websocketOrigins.includes(origin.toLowerCase())) return true;
  return isOwnOrigin(origin, [host]) || (!config.anonymous && config.caFile === undefined);
}

interface ListenParts {
  readonly config: BrokerConfig;
  readonly places: Places;
  readonly accept: (socket: net.Socket, peer: SocketPeer) => void;
  readonly onTlsFailed: ListenerHandlers["onTlsFailed"];
}

async function listenAt(
  listener: { readonly url: string; /** if the address has none */ readonly port: number },
  { config, places, accept, onTlsFailed }: ListenParts,
): Promise<Listener> {
  const { secure, host, port } = readUrl(listener.url, listener.port);
  const server = secure
    ? tls.createServer({ ...tlsOptions(config, listener.url), handshakeTimeout: handshakeMs })
    : net.createServer();
  const sockets = holdPlaces(server, places);
  server.on(secure ? "secureConnection" : "connection", (socket: net.Socket) => {
    if (socket.destroyed) return;
    socket.setNoDelay(true);
    const markAccepted = places.keeperOf(socket);
    // The certificate is read now: a closed socket has none.
    accept(socket, { address: socket.remoteAddress, certificateName: nameOf(socket), markAccepted });
  });
  server.on("tlsClientError", (error: Error, socket: net.Socket) => {
    onTlsFailed(socket.remoteAddress, reasonOf(error));
    socket.destroy();
  });
  await listening(server, { host, port, url: listener.url });
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : port,
    reload: () => {
      if (server instanceof tls.Server) server.setSecureContext(tlsOptions(config, listener.url));
    },
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      for (const socket of sockets) socket.destroy();
      await closed.promise;
    },
  };
}

/** Counts connections from the TCP accept on, not only after TLS: a client that never finishes a handshake counts. */
function holdPlaces(server: net.Server, places: Places): ReadonlySet<net.Socket> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket) => {
    socket.on("error", () => undefined);
    if (!places.take(socket)) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return sockets;
}

async function listening(
  server: net.Server,
  { host, port, url }: { readonly host: string; readonly port: number; readonly url: string },
): Promise<void> {
  const ready = Promise.withResolvers<void>();
  server.once("error", ready.reject);
  server.listen(port, host, ready.resolve);
  try {
    await ready.promise;
  } catch (cause) {
    throw new ConfigError("listen", `Cannot listen for MQTT on ${url}: ${describeError(cause)}`, { cause });
  }
  server.on("error", () => undefined);
}

/** OpenSSL puts the reason into the code. */
function reasonOf(error: Error): string {
  return errorCodeOf(error) ?? describeError(error);
}

function nameOf(socket: net.Socket): string | undefined {
  if (!(socket instanceof tls.TLSSocket) || !socket.authorized) return undefined;
  // Bun returns null for a socket that is already closed, contrary to the type.
  const certificate = socket.getPeerCertificate() as tls.PeerCertificate | null;
  const name: unknown = certificate?.subject?.CN;
  return typeof name === "string" && name !== "" ? name : undefined;
}

function readUrl(text: string, fallback: number): { secure: boolean; host: string; port: number } {
  const url = new URL(text.replace(/^[a-z]+:/, "http:"));
  const secure = /^(ssl|tls|mqtts|wss):/.test(text);
  const port = /:(\d+)\/?$/.exec(text)?.[1];
  return {
    secure,
    host: url.hostname.replaceAll(/[[\]]/g, ""),
    port: port === undefined ? fallback : Number(port),
  };
}

function tlsOptions(
  config: BrokerConfig,
  url: string,
): {
  cert: Buffer;
  key: Buffer;
  ca?: Buffer;
  requestCert?: boolean;
  rejectUnauthorized?: boolean;
} {
  const { certFile, keyFile, caFile } = config;
  if (certFile === undefined || keyFile === undefined)
    throw new ConfigError("tls", `Cannot listen on ${url}: certfile and keyfile of mqtt.broker are required`);
  return {
    cert: readPem(certFile),
    key: readPem(keyFile),
    ...(caFile === undefined ? {} : { ca: readPem(caFile), requestCert: true, rejectUnauthorized: true }),
  };
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ConfigError("tls", `Cannot read ${path}`, { cause });
  }
}
