import { readFileSync } from "node:fs";
import net from "node:net";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import type { Clock } from "#shared/clock";
import type { BrokerConfig } from "#shared/config";
import { ConfigError, describeError } from "#shared/errors";
import { isOwnOrigin } from "#shared/local-http";
import { Places } from "./places.ts";

export interface Listener extends AsyncDisposable {
  /** Reads the certificate again. @throws ConfigError when it cannot be read: the old one stays */
  reload(): void;
  readonly port: number;
}

export interface Listeners extends AsyncDisposable {
  /** Reads the certificates again. @throws ConfigError when one cannot be read: the old one stays */
  reload(): void;
  readonly tcp: number;
  readonly websocket: number | undefined;
}

/** What is known of the other end of a stream. */
export interface SocketPeer {
  readonly address: string | undefined;
  /** common name of the client certificate our CA signed; undefined without one */
  readonly certificateName: string | undefined;
  /** To be called when it was let in as a client: until then it may have to give way to others. */
  readonly letIn: () => void;
}

export type Accept = (stream: Duplex, peer: SocketPeer) => void;

export interface ListenerHandlers {
  readonly accept: Accept;
  /** Told of each connection that came to nothing in TLS: without a certificate, or with one that we do not know. */
  readonly failed: (address: string | undefined, problem: string) => void;
  /** Told of each web page that may not connect. */
  readonly refused: (address: string | undefined, origin: string) => void;
}

const handshakeMs = 10_000;

/**
 * Opens the broker's sockets, which all together hold as many connections as configured.
 * @throws ConfigError when an address is taken or a certificate cannot be read
 */
export async function listen(
  config: BrokerConfig,
  { clock, accept, failed, refused }: ListenerHandlers & { readonly clock: Clock },
): Promise<Listeners> {
  await using stack = new AsyncDisposableStack();
  const places = new Places(config.maxConnections, clock);
  const tcp = stack.use(await listenAt({ url: config.url, port: 1884 }, { config, places, accept, failed }));
  const websocket = await listenForWebSockets({ config, places, accept, failed, refused }, clock);
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

/** Most nodes have no such port, and their memory is not to pay for it. */
async function listenForWebSockets(
  { accept, refused, ...parts }: Omit<ListenParts, "accept"> & Pick<ListenerHandlers, "accept" | "refused">,
  clock: Clock,
): Promise<Listener | undefined> {
  const { websocketUrl: url, maxPacketBytes } = parts.config;
  if (url === undefined) return undefined;
  const { upgradeSockets } = await import("./websocket.ts");
  const allowsOrigin = (origin: string): boolean => mayConnect(parts.config, readUrl(url, 1885).host, origin);
  const upgrade = upgradeSockets({ maxPacketBytes, handshakeMs, clock, allowsOrigin, refused, accept });
  return listenAt({ url, port: 1885 }, { ...parts, accept: upgrade });
}

/**
 * A browser connects for any page it shows, with any address it can reach, and shows its client certificate unasked. Pages of
 * this machine may, those that are named, and any where nobody gets in without a password, which a page has to know.
 */
function mayConnect(config: BrokerConfig, host: string, origin: string): boolean {
  if (config.websocketOrigins.includes(origin.toLowerCase())) return true;
  return isOwnOrigin(origin, [host]) || (!config.anonymous && config.caFile === undefined);
}

interface ListenParts {
  readonly config: BrokerConfig;
  readonly places: Places;
  readonly accept: (socket: net.Socket, peer: SocketPeer) => void;
  readonly failed: ListenerHandlers["failed"];
}

async function listenAt(
  at: { readonly url: string; /** unless the address names one */ readonly port: number },
  { config, places, accept, failed }: ListenParts,
): Promise<Listener> {
  const { secure, host, port } = readUrl(at.url, at.port);
  const server = secure
    ? tls.createServer({ ...tlsOptions(config, at.url), handshakeTimeout: handshakeMs })
    : net.createServer();
  const sockets = holdPlaces(server, places);
  server.on(secure ? "secureConnection" : "connection", (socket: net.Socket) => {
    if (socket.destroyed) return;
    socket.setNoDelay(true);
    // Read now: a socket that is closed has no certificate any more.
    const letIn = places.keeperOf(socket);
    accept(socket, { address: socket.remoteAddress, certificateName: nameOf(socket), letIn });
  });
  server.on("tlsClientError", (error: Error, socket: net.Socket) => {
    failed(socket.remoteAddress, reasonOf(error));
    socket.destroy();
  });
  await listening(server, { host, port, url: at.url });
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : port,
    reload: () => {
      if (server instanceof tls.Server) server.setSecureContext(tlsOptions(config, at.url));
    },
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      for (const socket of sockets) socket.destroy();
      await closed.promise;
    },
  };
}

/** Gives each connection a place from its first packet on, not only once it has shown who it is. */
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

/** What OpenSSL has to say is in the code. */
function reasonOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : describeError(error);
}

function nameOf(socket: net.Socket): string | undefined {
  if (!(socket instanceof tls.TLSSocket) || !socket.authorized) return undefined;
  // Of a socket that is closed already Bun gives null, whatever the type says.
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
    throw new ConfigError("tls", `Cannot listen on ${url}: a certificate and its key are needed`);
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
