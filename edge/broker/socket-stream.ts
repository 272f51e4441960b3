import { Duplex } from "node:stream";

export interface SocketData {
  readonly stream: SocketStream;
  /** Gives the place of the connection back. */
  readonly leave: () => void;
}

/** A WebSocket of Bun's server as the byte stream a broker reads and writes, at the pace of whoever is slower. */
export class SocketStream extends Duplex {
  #socket: Bun.ServerWebSocket<SocketData> | undefined;
  #waiting: (() => void) | undefined;

  opened(socket: Bun.ServerWebSocket<SocketData>): void {
    this.#socket = socket;
  }

  received(bytes: Buffer): void {
    if (!this.push(bytes) && !this.destroyed) this.#socket?.pause();
  }

  drained(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  gone(): void {
    this.push(null);
    this.destroy();
  }

  override _read(): void {
    if (this.#socket?.isPaused) this.#socket.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    const sent = this.#socket?.sendBinary(chunk) ?? 0;
    if (sent === 0) done(new Error("connection closed"));
    else if (sent === -1) this.#waiting = () => done();
    else done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // A closing handshake with who is cut off would need what it does not do: read, and be read.
    if (error || this.#socket?.isPaused) this.#socket?.terminate();
    else this.#socket?.close();
    this.drained();
    done(error);
  }
}
