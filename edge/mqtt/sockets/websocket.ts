import { createServer, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import type { Clock } from "#shared/clock";
import type { Accept, SocketPeer } from "./peer.ts";

/** MQTT 3.1.1 section 6; `mqttv3.1` is what clients of MQTT 3.1 offer. */
const subprotocols = ["mqtt", "mqttv3.1"];
/** Close code of RFC 6455 section 7.4.1 for a frame type that is not accepted. */
const unsupportedData = 1003;
/** Payload of one frame at most: small clients have small buffers. */
const frameBytes = 64 * 1024;

const reason = "web pages of this origin may not connect: see mqtt.broker.websocket-origins\n";
const refusal = `HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${reason.length}\r\n\r\n${reason}`;

export interface UpgradeOptions {
  readonly maxPacketBytes: number;
  /** Sockets that are not upgraded in this time are closed. */
  readonly handshakeMs: number;
  readonly clock: Clock;
  /** Whether a web page of that origin may connect. Programs other than browsers send no origin. */
  readonly allowsOrigin: (origin: string) => boolean;
  readonly onOriginRefused: (address: string | undefined, origin: string) => void;
  /** Called for each WebSocket with the byte stream it carries. */
  readonly accept: Accept;
}

/** Upgrades sockets to WebSockets, on any path. A client that offers subprotocols gets the MQTT one among them. */
export function upgradeSockets(options: UpgradeOptions): (socket: Socket, peer: SocketPeer) => void {
  /** Sockets that are not upgraded yet. */
  const waiting = new Map<object, { readonly peer: SocketPeer; readonly limit: Disposable }>();
  const settle = (socket: Socket): SocketPeer | undefined => {
    const found = waiting.get(socket);
    waiting.delete(socket);
    found?.limit[Symbol.dispose]();
    return found?.peer;
  };
  const http = createServer((_, response) => {
    response.writeHead(426, { Connection: "close", Upgrade: "websocket", "Content-Type": "text/plain" });
    response.end("MQTT over WebSocket is served here\n");
  });
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    // A frame may hold several packets: section 6 says that receivers must not assume they are aligned.
    maxPayload: options.maxPacketBytes * 4,
    handleProtocols: (offered) => subprotocols.find((name) => offered.has(name)) ?? false,
  });
  http.on("clientError", (_, socket) => socket.destroy());
  http.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const peer = settle(socket);
    if (!peer) return void socket.destroy();
    const { origin } = request.headers;
    if (origin !== undefined && !options.allowsOrigin(origin)) {
      options.onOriginRefused(peer.address, origin);
      return void socket.end(refusal);
    }
    server.handleUpgrade(request, socket, head, (webSocket) =>
      options.accept(new WebSocketStream(webSocket), peer),
    );
  });
  return (socket, peer) => {
    const limit = options.clock.after(options.handshakeMs, () => socket.destroy());
    waiting.set(socket, { peer, limit });
    socket.once("close", () => settle(socket));
    http.emit("connection", socket);
  };
}

/** A WebSocket as the byte stream that the broker reads and writes, with backpressure in both directions. */
class WebSocketStream extends Duplex {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    super();
    this.#socket = socket;
    socket.on("message", (bytes: Buffer, isBinary: boolean) => {
      // MQTT-6.0.0-1
      if (!isBinary) socket.close(unsupportedData, "MQTT needs binary frames");
      else if (!this.#take(bytes)) socket.pause();
    });
    socket.on("error", () => socket.terminate());
    // What the client sent before it closed is still read, as over TCP.
    socket.on("close", () => this.push(null));
  }

  /** Splits a frame, which may hold thousands of packets, so that the reader can pause. @returns false when it should */
  #take(bytes: Buffer): boolean {
    let hasRoom = true;
    for (let start = 0; start < bytes.length; start += frameBytes)
      hasRoom = this.push(bytes.subarray(start, start + frameBytes));
    return hasRoom;
  }

  override _read(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    // The client has closed, and its last packets may still be read.
    if (this.#socket.readyState !== this.#socket.OPEN) return done();
    let start = 0;
    for (; chunk.length - start > frameBytes; start += frameBytes)
      this.#socket.send(chunk.subarray(start, start + frameBytes), { binary: true });
    this.#socket.send(chunk.subarray(start), { binary: true }, done);
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer }[],
    done: (error?: Error | null) => void,
  ): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "binary", done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // No closing handshake with a client that is cut off: it would have to read and to be read.
    if (error || this.#socket.isPaused || this.#socket.bufferedAmount > frameBytes) this.#socket.terminate();
    else this.#socket.close();
    done(error);
  }
}
