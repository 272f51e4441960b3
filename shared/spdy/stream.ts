import { ClosedError } from "#shared/errors";
import { resetCodes } from "./frame.ts";
import type { SpdyHeaders } from "./header-blocks.ts";

/**
 * What may wait for the reader of a stream before the whole connection waits: clients of Kubernetes know no windows, so that one
 * stream cannot be held up alone.
 */
const waitingBytes = 64 * 1024;
/** A piece of one byte takes a few hundred as well: it counts as so much. */
const leastBytes = 1024;

export interface SpdyStreamOptions {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly send: (bytes: Uint8Array, isFin: boolean) => Promise<void>;
  readonly sendReset: (code: number) => void;
  readonly over: () => void;
}

/** One stream of a session. */
export class SpdyStream {
  readonly id: number;
  readonly headers: SpdyHeaders;
  /** Ends when the peer finished; errors with ClosedError when it reset the stream or has gone. */
  readonly readable: ReadableStream<Uint8Array>;
  /** Closing it finishes this direction. */
  readonly writable: WritableStream<Uint8Array>;
  readonly #options: SpdyStreamOptions;
  #reader!: ReadableStreamDefaultController<Uint8Array>;
  #writer!: WritableStreamDefaultController;
  #room: (() => void) | undefined;
  #isReading = true;
  #isWriting = true;

  constructor(options: SpdyStreamOptions) {
    this.#options = options;
    this.id = options.id;
    this.headers = options.headers;
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#reader = controller),
        pull: () => this.#wake(),
        cancel: () => this.#stopReading(),
      },
      { highWaterMark: waitingBytes, size: (bytes) => Math.max(leastBytes, bytes?.length ?? 0) },
    );
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => void (this.#writer = controller),
      write: (bytes) => options.send(bytes, false),
      close: () => this.#finish(),
      abort: () => this.reset(),
    });
  }

  /** Resolves once the peer may send more. */
  async receive(bytes: Uint8Array, isFin: boolean): Promise<void> {
    if (!this.#isReading) return;
    // A copy: the bytes belong to the connection.
    if (bytes.length > 0) this.#reader.enqueue(new Uint8Array(bytes));
    if (isFin) {
      this.#stopReading();
      this.#reader.close();
    } else if ((this.#reader.desiredSize ?? 0) <= 0) {
      await new Promise<void>((resolve) => {
        this.#room = resolve;
      });
    }
  }

  reset(code: number = resetCodes.cancel): void {
    if (!this.#isReading && !this.#isWriting) return;
    this.#options.sendReset(code);
    this.cut("the stream was reset");
  }

  /** It is over without a word to the peer: the peer reset it, or has gone. */
  cut(reason: string): void {
    const error = new ClosedError(reason);
    if (this.#isReading) this.#reader.error(error);
    if (this.#isWriting) this.#writer.error(error);
    this.#isWriting = false;
    this.#stopReading();
  }

  async #finish(): Promise<void> {
    await this.#options.send(new Uint8Array(), true);
    this.#isWriting = false;
    this.#settle();
  }

  #stopReading(): void {
    this.#isReading = false;
    this.#wake();
    this.#settle();
  }

  #wake(): void {
    this.#room?.();
    this.#room = undefined;
  }

  #settle(): void {
    if (!this.#isReading && !this.#isWriting) this.#options.over();
  }
}
