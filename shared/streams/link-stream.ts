import { ClosedError } from "#shared/errors";
import type { ByteStream, StreamClosed, StreamHead } from "./byte-stream.ts";
import type { StreamFrame } from "./frame.ts";
import { ReceivedBytes } from "./received-bytes.ts";

/**
 * What a peer may have on its way to us: 256 KiB keep a link of 20 Mbit/s with a round trip of 100 ms busy, and 256
 * streams of it are the 64 MiB that a node may take of the memory at most.
 */
export const windowBytes = 256 * 1024;
/** Small enough that streams take turns, large enough that the header does not count. */
const chunkBytes = 32 * 1024;

export interface LinkStreamOptions {
  readonly id: number;
  readonly head: StreamHead;
  /** Sends a control frame at once. */
  readonly send: (frame: StreamFrame) => void;
  /** There is something to send, when it is this stream's turn. */
  readonly ready: (stream: LinkStream) => void;
  /** Called once, when the stream is over. */
  readonly over: (stream: LinkStream) => void;
}

interface Chunk {
  readonly bytes: Uint8Array;
  sent: number;
  readonly done: () => void;
  readonly fail: (error: Error) => void;
}

/** One stream at one end of the link. */
export class LinkStream implements ByteStream {
  readonly id: number;
  readonly head: StreamHead;
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly closed: Promise<StreamClosed>;
  readonly #options: LinkStreamOptions;
  readonly #settle: (closed: StreamClosed) => void;
  readonly #received = new ReceivedBytes();
  /** Bytes that the peer may still send. */
  #allowance = windowBytes;
  /** Bytes read since the peer was last given credit. */
  #consumed = 0;
  #credit = windowBytes;
  #chunk: Chunk | undefined;
  #wake: (() => void) | undefined;
  #peerEnded = false;
  #ended = false;
  #isReading = true;
  #over = false;
  #reader!: ReadableStreamDefaultController<Uint8Array>;
  #writer!: WritableStreamDefaultController;

  constructor(options: LinkStreamOptions) {
    this.#options = options;
    this.id = options.id;
    this.head = options.head;
    const { promise, resolve } = Promise.withResolvers<StreamClosed>();
    this.closed = promise;
    this.#settle = resolve;
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#reader = controller),
        pull: () => this.#pull(),
        cancel: (reason) => this.reset(describe(reason, "the reader does not want more")),
      },
      { highWaterMark: 0 },
    );
    this.writable = new WritableStream<Uint8Array>(
      {
        start: (controller) => void (this.#writer = controller),
        write: (bytes) => this.#write(bytes),
        close: () => this.#end(),
        abort: (reason) => this.reset(describe(reason, "the sender aborted")),
      },
      { highWaterMark: 1 },
    );
  }

  /** Whether it has data that the peer allows to be sent. */
  get isReady(): boolean {
    return this.#chunk !== undefined && this.#credit > 0;
  }

  /** The next piece to send. */
  take(): Uint8Array | undefined {
    const chunk = this.#chunk;
    if (!chunk) return undefined;
    const size = Math.min(chunkBytes, this.#credit, chunk.bytes.length - chunk.sent);
    const piece = chunk.bytes.subarray(chunk.sent, chunk.sent + size);
    chunk.sent += size;
    this.#credit -= size;
    if (chunk.sent === chunk.bytes.length) {
      this.#chunk = undefined;
      chunk.done();
    }
    return piece;
  }

  /** A frame of the peer for this stream. */
  receive(frame: Exclude<StreamFrame, { readonly type: "open" | "received" }>): void {
    if (this.#over) return;
    switch (frame.type) {
      case "data":
        this.#receiveData(frame.bytes);
        break;
      case "credit":
        this.#credit += frame.bytes;
        if (this.#credit > 2 ** 31) this.reset("the peer gave more credit than there is");
        else if (this.isReady) this.#options.ready(this);
        break;
      case "end":
        this.#peerEnded = true;
        this.#wakeReader();
        break;
      case "reset":
        this.#finish(frame.reason);
    }
  }

  reset(reason: string): void {
    if (this.#over) return;
    this.#options.send({ type: "reset", id: this.id, reason });
    this.#finish(reason);
  }

  /** The link is lost. */
  cut(reason: string): void {
    if (!this.#over) this.#finish(reason);
  }

  #receiveData(bytes: Uint8Array): void {
    this.#allowance -= bytes.length;
    if (this.#allowance < 0 || this.#peerEnded) {
      this.reset("the peer sent more than it may");
      return;
    }
    if (bytes.length === 0) return;
    // A copy: the frame belongs to the transport, and may be a part of a larger buffer.
    this.#received.add(bytes);
    this.#wakeReader();
  }

  #wakeReader(): void {
    this.#wake?.();
    this.#wake = undefined;
    // Nobody may ask for the end of what has been read already.
    if (this.#peerEnded && this.#received.isEmpty) this.#endReading();
  }

  async #pull(): Promise<void> {
    while (this.#received.isEmpty && !this.#peerEnded && !this.#over)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    if (this.#over) return;
    const bytes = this.#received.take();
    if (bytes) this.#pass(bytes);
    if (this.#peerEnded && this.#received.isEmpty) this.#endReading();
  }

  #pass(bytes: Uint8Array): void {
    this.#reader.enqueue(bytes);
    this.#consumed += bytes.length;
    if (this.#consumed < windowBytes / 2 || this.#peerEnded) return;
    this.#options.send({ type: "credit", id: this.id, bytes: this.#consumed });
    this.#allowance += this.#consumed;
    this.#consumed = 0;
  }

  #endReading(): void {
    if (!this.#isReading) return;
    this.#isReading = false;
    this.#reader.close();
    this.#settleWhenEnded();
  }

  #write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#chunk = { bytes, sent: 0, done: resolve, fail: reject };
    if (this.isReady) this.#options.ready(this);
    return promise;
  }

  #end(): void {
    this.#ended = true;
    this.#options.send({ type: "end", id: this.id });
    this.#settleWhenEnded();
  }

  #settleWhenEnded(): void {
    if (this.#over || !this.#ended || this.#isReading) return;
    this.#over = true;
    this.#settle({ reason: undefined });
    this.#options.over(this);
  }

  #finish(reason: string): void {
    this.#over = true;
    const error = new ClosedError(reason);
    this.#received.clear();
    if (this.#isReading) this.#reader.error(error);
    this.#isReading = false;
    this.#chunk?.fail(error);
    this.#chunk = undefined;
    if (!this.#ended) this.#writer.error(error);
    this.#wake?.();
    this.#settle({ reason });
    this.#options.over(this);
  }
}

function describe(reason: unknown, otherwise: string): string {
  if (reason instanceof Error) return reason.message;
  return typeof reason === "string" && reason !== "" ? reason : otherwise;
}
