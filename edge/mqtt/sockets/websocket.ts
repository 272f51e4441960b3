import { createServer, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import type { Clock } from "#shared/clock";
import type { Accept, SocketPeer } from "./listeners.ts";

const subprotocols = ["mqtt", "mqttv3.1"];
/** Of RFC 6455: the frame is of a kind that is not taken. */
const unsupportedData = 1003;
/** What one frame holds at most: small clients have small buffers. */
const frameBytes = 64 * 1024;

const reason = "web pages of this origin may not connect: see mqtt.broker.websocket-origins\n";
const refusal = `HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${reason.length}\r\n\r\n${reason}`;

export interface UpgradeOptions {
  readonly maxPacketBytes: number;
  /** A socket that is no WebSocket after so long is closed. */
  readonly handshakeMs: number;
  readonly clock: Clock;
  /** Whether a web page of that origin may connect. Programs that are no browsers send none. */
  readonly allowsOrigin: (origin: string) => boolean;
  /** Told of each web page that may not. */
  readonly refused: (address: string | undefined, origin: string) => void;
  /** Told of each WebSocket, as the stream of bytes it carries. */
  readonly accept: Accept;
}

/** Makes WebSockets of sockets. Any path will do, and who offers a subprotocol gets the one of MQTT it offers. */
export function upgradeSockets(options: UpgradeOptions): (socket: Socket, peer: SocketPeer) => void {
  /** Those that are no WebSockets yet. */
  const waiting = new Map<object, { readonly peer: SocketPeer; readonly limit: Disposable }>();
  const settle = (socket: Socket): SocketPeer | undefined => {
    const found = waiting.get(socket);
    waiting.delete(socket);
    found?.limit[Symbol.dispose]();
    return found?.peer;
  };
  const http = createServer((_, response) => {
    response.writeHead(426, { Connection: "close", Upgrade: "websocket", "Content-Type": "text/plain" });
    response.end("MQTT over WebSocket is spoken here\n");
  });
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    // A frame may hold several packets.
    maxPayload: options.maxPacketBytes * 4,
    handleProtocols: (offered) => subprotocols.find((name) => offered.has(name)) ?? false,
  });
  http.on("clientError", (_, socket) => socket.destroy());
  http.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const peer = settle(socket);
    if (!peer) return void socket.destroy();
    const { origin } = request.headers;
    if (origin !== undefined && !options.allowsOrigin(origin)) {
      options.refused(peer.address, origin);
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

/** A WebSocket as the byte stream a broker reads and writes, at the pace of whoever is slower. */
class WebSocketStream extends Duplex {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    super();
    this.#socket = socket;
    socket.on("message", (bytes: Buffer, isBinary: boolean) => {
      // MQTT 3.1.1, MQTT-6.0.0-1
      if (!isBinary) socket.close(unsupportedData, "MQTT takes binary frames");
      else if (!this.#take(bytes)) socket.pause();
    });
    socket.on("error", () => socket.terminate());
    // What it said before it left is still heard, as over TCP.
    socket.on("close", () => this.push(null));
  }

  /** A frame may hold thousands of packets: whoever reads them is to have a say in between. @returns false when it is full */
  #take(bytes: Buffer): boolean {
    let hasRoom = true;
    for (let at = 0; at < bytes.length; at += frameBytes)
      hasRoom = this.push(bytes.subarray(at, at + frameBytes));
    return hasRoom;
  }

  override _read(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    // It has left, and what it said may not all be read yet.
    if (this.#socket.readyState !== this.#socket.OPEN) return done();
    let at = 0;
    for (; chunk.length - at > frameBytes; at += frameBytes)
      this.#socket.send(chunk.subarray(at, at + frameBytes), { binary: true });
    this.#socket.send(chunk.subarray(at), { binary: true }, done);
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer }[],
    done: (error?: Error | null) => void,
  ): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "binary", done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // A closing handshake with who is cut off would need what it does not do: read, and be read.
    if (error || this.#socket.isPaused || this.#socket.bufferedAmount > frameBytes) this.#socket.terminate();
    else this.#socket.close();
    done(error);
  }
}
