import { ClosedError } from "#shared/errors";

/** What may wait for the reader of a connection before the tunnel waits. */
const waitingBytes = 256 * 1024;
/** A piece of one byte takes a few hundred as well: it counts as so much. */
const leastBytes = 512;
/** As large as a piece of the link's streams: other connections take turns with it. */
const pieceBytes = 32 * 1024;

export interface TunnelConnectionOptions {
  readonly send: (bytes: Uint8Array) => Promise<void>;
  /** Tells the other end that the connection is over. */
  readonly remove: () => void;
  /** Its reader has more than it may have waiting, and has less again. */
  readonly full: () => void;
  readonly drained: () => void;
}

/** One connection to a kubelet in a tunnel: bytes in both directions, which end together. */
export class TunnelConnection {
  /** Ends with the connection; errors with ClosedError when it is lost. */
  readonly readable: ReadableStream<Uint8Array>;
  /** Closing it ends the connection. */
  readonly writable: WritableStream<Uint8Array>;
  /** Settles once, when the connection is over, with the reason if it was lost; never rejects. */
  readonly closed: Promise<string | undefined>;
  readonly #options: TunnelConnectionOptions;
  readonly #over = Promise.withResolvers<string | undefined>();
  #reader!: ReadableStreamDefaultController<Uint8Array>;
  #writer!: WritableStreamDefaultController;
  #isOver = false;

  constructor(options: TunnelConnectionOptions) {
    this.#options = options;
    this.closed = this.#over.promise;
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#reader = controller),
        pull: () => options.drained(),
        cancel: () => this.destroy(),
      },
      { highWaterMark: waitingBytes, size: (bytes) => Math.max(leastBytes, bytes?.length ?? 0) },
    );
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => void (this.#writer = controller),
      write: async (bytes) => {
        for (let at = 0; at < bytes.length; at += pieceBytes)
          await options.send(bytes.subarray(at, at + pieceBytes));
      },
      close: () => this.#close(),
      abort: () => this.destroy(),
    });
  }

  receive(bytes: Uint8Array): void {
    if (this.#isOver || bytes.length === 0) return;
    this.#reader.enqueue(bytes);
    if ((this.#reader.desiredSize ?? 0) <= 0) this.#options.full();
  }

  /** The other end has finished: what it sent before can still be read. */
  finish(): void {
    if (this.#isOver) return;
    this.#reader.close();
    this.#settle(new ClosedError("the node has ended the connection"));
  }

  /** The tunnel is lost. */
  cut(reason: string): void {
    if (this.#isOver) return;
    const error = new ClosedError(reason);
    this.#reader.error(error);
    this.#settle(error, reason);
  }

  /** Ends it here and at the other end, as a failure. */
  fail(reason: string): void {
    if (this.#isOver) return;
    this.#options.remove();
    this.cut(reason);
  }

  /** Ends it here and at the other end. */
  destroy(): void {
    if (this.#isOver) return;
    this.#options.remove();
    const error = new ClosedError("the connection was ended");
    this.#reader.error(error);
    this.#settle(error);
  }

  #close(): void {
    if (this.#isOver) return;
    this.#options.remove();
    this.#reader.error(new ClosedError("the connection was ended"));
    this.#settle(undefined);
  }

  /** @param reason why it was lost */
  #settle(error: ClosedError | undefined, reason?: string): void {
    this.#isOver = true;
    if (error) this.#writer.error(error);
    this.#over.resolve(reason);
  }
}
