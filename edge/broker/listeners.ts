import { readFileSync } from "node:fs";
import net from "node:net";
import { Duplex } from "node:stream";
import tls from "node:tls";
import type { BrokerConfig } from "#shared/config";
import { ConfigError, describeError } from "#shared/errors";

export interface Listener extends AsyncDisposable {
  readonly port: number;
}

export interface Listeners extends AsyncDisposable {
  readonly tcp: number;
  readonly websocket: number | undefined;
}

/** What is known of the other end of a stream. */
export interface Peer {
  /** common name of the client certificate our CA signed; undefined without one */
  readonly certificateName: () => string | undefined;
}

type Accept = (stream: Duplex, peer: Peer) => void;

/**
 * Opens the broker's sockets.
 * @throws ConfigError when an address is taken or a certificate cannot be read
 */
export async function listen(config: BrokerConfig, accept: Accept): Promise<Listeners> {
  await using stack = new AsyncDisposableStack();
  const tcp = stack.use(await listenTcp(config, accept));
  const websocket = config.websocketUrl ? stack.use(listenWebSocket(config, accept)) : undefined;
  const owned = stack.move();
  return {
    tcp: tcp.port,
    websocket: websocket?.port,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function listenTcp(config: BrokerConfig, accept: Accept): Promise<Listener> {
  const { secure, host, port } = readUrl(config.url, 1884);
  const sockets = new Set<net.Socket>();
  const take = (socket: net.Socket): void => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.setNoDelay(true);
    if (sockets.size > config.maxConnections) socket.destroy();
    else accept(socket, { certificateName: () => nameOf(socket) });
  };
  const server = secure ? tls.createServer(tlsOptions(config), take) : net.createServer(take);
  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject);
  server.listen(port, host, listening.resolve);
  try {
    await listening.promise;
  } catch (cause) {
    throw new ConfigError("listen", `Cannot listen for MQTT on ${config.url}: ${describeError(cause)}`, {
      cause,
    });
  }
  server.on("error", () => undefined);
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : port,
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      for (const socket of sockets) socket.destroy();
      await closed.promise;
    },
  };
}

function listenWebSocket(config: BrokerConfig, accept: Accept): Listener {
  const { secure, host, port } = readUrl(config.websocketUrl ?? "", 1885);
  try {
    const server = Bun.serve<SocketData>({
      hostname: host,
      port,
      ...(secure ? { tls: tlsOptions(config) } : {}),
      fetch: (request, self) => {
        const offered = request.headers.get("sec-websocket-protocol") ?? "";
        const spoken = offered.split(/,\s*/).find((name) => name === "mqtt" || name === "mqttv3.1");
        const headers = spoken ? { "Sec-WebSocket-Protocol": spoken } : undefined;
        const data: SocketData = { stream: undefined };
        if (self.upgrade(request, { data, ...(headers ? { headers } : {}) })) return undefined;
        return new Response("MQTT over WebSocket is spoken here\n", { status: 426 });
      },
      websocket: {
        maxPayloadLength: config.maxPacketBytes + 1024,
        backpressureLimit: 16 * 1024 * 1024,
        closeOnBackpressureLimit: true,
        open: (socket) => {
          socket.data.stream = new SocketStream(socket);
          // Bun's server does not show the certificate it checked.
          accept(socket.data.stream, { certificateName: () => undefined });
        },
        message: (socket, message) => {
          socket.data.stream?.push(typeof message === "string" ? Buffer.from(message) : message);
        },
        drain: (socket) => socket.data.stream?.drained(),
        close: (socket) => {
          socket.data.stream?.push(null);
          socket.data.stream?.destroy();
        },
      },
    });
    return { port: server.port ?? port, [Symbol.asyncDispose]: () => server.stop(true) };
  } catch (cause) {
    throw new ConfigError("listen", `Cannot listen for MQTT on ${config.websocketUrl}`, { cause });
  }
}

interface SocketData {
  stream: SocketStream | undefined;
}

/** A WebSocket of Bun's server as the byte stream a broker reads and writes. */
class SocketStream extends Duplex {
  readonly #socket: Bun.ServerWebSocket<SocketData>;
  #waiting: (() => void) | undefined;

  constructor(socket: Bun.ServerWebSocket<SocketData>) {
    super();
    this.#socket = socket;
  }

  drained(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  override _read(): void {
    // Bytes are pushed as they come; the broker reads at its own pace.
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    const sent = this.#socket.sendBinary(chunk);
    if (sent === 0) done(new Error("connection closed"));
    else if (sent === -1) this.#waiting = () => done();
    else done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.close();
    this.drained();
    done(error);
  }
}

function nameOf(socket: net.Socket): string | undefined {
  if (!(socket instanceof tls.TLSSocket) || !socket.authorized) return undefined;
  const name: unknown = socket.getPeerCertificate().subject?.CN;
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

function tlsOptions(config: BrokerConfig): {
  cert: Buffer;
  key: Buffer;
  ca?: Buffer;
  requestCert?: boolean;
  rejectUnauthorized?: boolean;
} {
  const { certFile, keyFile, caFile } = config;
  if (certFile === undefined || keyFile === undefined)
    throw new ConfigError("tls", `Cannot listen on ${config.url}: a certificate and its key are needed`);
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
