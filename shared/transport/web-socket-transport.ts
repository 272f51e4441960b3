import { freeBytes } from "#shared/bytes";
import type { RawData, WebSocket } from "ws";
import type { FrameTransport, TransportClosed, TransportListener } from "./frame-transport.ts";

/** Frames over a WebSocket of `ws`, of a client or a server. Wrap a socket in the turn that made it: it buffers nothing. */
export class WebSocketTransport implements FrameTransport {
  readonly closed: Promise<TransportClosed>;
  readonly #socket: WebSocket;
  #listener: TransportListener | undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<TransportClosed>();
    this.closed = promise;
    socket.on("message", (data: RawData | string, isBinary) => this.#receive(data, isBinary));
    socket.on("ping", () => this.#listener?.onPing?.());
    socket.on("pong", (mark) => this.#listener?.onPong?.(String(mark)));
    socket.on("error", (error) => this.#listener?.onError(error));
    socket.on("close", (code, reason) => {
      this.#listener = undefined;
      resolve({ code, reason: String(reason) });
    });
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  listen(listener: TransportListener): void {
    this.#listener = listener;
  }

  send(frame: string | Uint8Array, written?: () => void): void {
    this.#socket.send(frame, written);
  }

  /** Sends bytes in a text frame, whether they are UTF-8 or not. */
  sendAsText(frame: Uint8Array, written?: () => void): void {
    this.#socket.send(frame, { binary: false }, written);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  ping(mark: string): void {
    this.#socket.ping(mark);
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  terminate(): void {
    this.#socket.terminate();
  }

  /** Text frames are strings on Bun's client and buffers elsewhere. */
  #receive(data: RawData | string, isBinary: boolean): void {
    const takesBytes = this.#listener?.onTextBytes;
    if (isBinary && typeof data !== "string") this.#receiveBinary(bytesOf(data));
    else if (takesBytes) takesBytes(typeof data === "string" ? Buffer.from(data) : bytesOf(data));
    else if (typeof data === "string") this.#listener?.onText(data);
    else this.#listener?.onText(bytesOf(data).toString("utf8"));
  }

  #receiveBinary(frame: Buffer): void {
    this.#listener?.onBinary(frame);
    freeBytes(frame);
  }
}

function bytesOf(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}
