/** Bytes handed to a connection at once, and so about what an unread one holds. */
export const pieceBytes = 64 * 1024;

/** Where the bytes of an answer come from. */
export interface ByteSource {
  /** The bytes that follow, of any length; "later" when there are none yet, undefined at the end. */
  next(): Uint8Array | "later" | undefined;
  /** Called once, however the answer ends. */
  ended(): void;
}

export interface StreamOptions {
  /** What is answered, for the log. */
  readonly what: string;
  /** Pieces that may wait for the connection; 1 by default. */
  readonly ahead?: number;
  /** The answer ends after this time, however fast it is read. */
  readonly mostMs?: number;
  /** Bytes that the source holds until it is first read. */
  readonly sourceBytes?: number;
}

export type OpenStream = (source: ByteSource, options: StreamOptions) => PacedStream;

/** What a stream needs of its pool. */
export interface Pool {
  nowMs(): number;
  /** Whether one more buffer may be made now; if not, `fill` is called when it may. */
  admits(stream: PacedStream): boolean;
  hold(stream: PacedStream, buffer: Uint8Array): void;
  release(stream: PacedStream, buffer: Uint8Array): void;
  /** Counts what is not a buffer yet. */
  count(stream: PacedStream, bytes: number): void;
  left(stream: PacedStream): void;
}

/** The bytes of one answer, each piece made when the connection has room for it. */
export class PacedStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly options: StreamOptions;
  readonly startedMs: number;
  readonly #pool: Pool;
  readonly #source: ByteSource;
  readonly #cut: () => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** The buffer in hand, while it is large enough to count in the pool. */
  #held: Uint8Array | undefined;
  /** What of it was not handed on. */
  #rest: Uint8Array | undefined;
  #fullSinceMs: number | undefined;
  #sourceBytes: number;
  #filling = false;
  #ended = false;

  constructor(
    pool: Pool,
    source: ByteSource,
    parts: { readonly options: StreamOptions; readonly cut: () => void },
  ) {
    this.#pool = pool;
    this.#source = source;
    this.#cut = parts.cut;
    this.options = parts.options;
    this.startedMs = pool.nowMs();
    this.#sourceBytes = this.options.sourceBytes ?? 0;
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => this.fill(),
        cancel: () => this.#end(),
      },
      { highWaterMark: this.options.ahead ?? 1 },
    );
  }

  /** Nothing waits: what comes now can be handed on at once. */
  get ready(): boolean {
    return this.#rest === undefined && this.#hasRoom();
  }

  /** Bytes this answer counts for in the pool. */
  get heldBytes(): number {
    return (this.#held?.length ?? 0) + this.#sourceBytes;
  }

  /** For how long the connection has taken nothing although there is something to take. */
  stalledMs(nowMs: number): number {
    return this.#fullSinceMs === undefined ? 0 : nowMs - this.#fullSinceMs;
  }

  /** Hands on bytes that are not asked of the source; only while `ready`. */
  push(bytes: Uint8Array): void {
    this.#take(bytes);
    this.fill();
  }

  /** Hands on what the source has, as far as the connection takes it. */
  fill(): void {
    this.#fullSinceMs = undefined;
    // To hand on a piece may ask for the next at once.
    if (this.#filling) return;
    this.#filling = true;
    try {
      while (this.#hasRoom() && this.#advance()) this.#handOn();
    } catch (error) {
      this.#end();
      this.#controller?.error(error);
    } finally {
      this.#filling = false;
    }
    if (!this.#ended && !this.#hasRoom()) this.#fullSinceMs = this.#pool.nowMs();
  }

  /** Ends the answer as if there were no more. */
  close(): void {
    if (this.#ended) return;
    this.#end();
    this.#controller?.close();
  }

  /** Ends the answer after what was begun of it. */
  finish(): void {
    if (this.#rest === undefined) this.close();
  }

  /** Ends the answer together with its connection: the reader must not take it for whole. */
  cut(): void {
    if (this.#ended) return;
    this.#end();
    this.#cut();
  }

  #hasRoom(): boolean {
    return !this.#ended && (this.#controller?.desiredSize ?? 0) > 0;
  }

  /** @returns whether there is something to hand on */
  #advance(): boolean {
    while (this.#rest === undefined) {
      this.#letGo();
      if (!this.#pool.admits(this)) return false;
      const next = this.#source.next();
      this.#sourceAsked();
      if (next === undefined) this.close();
      if (next === undefined || next === "later") return false;
      this.#take(next);
    }
    return true;
  }

  #take(bytes: Uint8Array): void {
    this.#letGo();
    if (bytes.length === 0) return;
    this.#rest = bytes;
    if (bytes.length <= pieceBytes) return;
    this.#held = bytes;
    this.#pool.hold(this, bytes);
  }

  #handOn(): void {
    const rest = this.#rest;
    if (rest === undefined) return;
    const whole = rest.length <= pieceBytes;
    this.#rest = whole ? undefined : rest.subarray(pieceBytes);
    this.#controller?.enqueue(whole ? rest : rest.subarray(0, pieceBytes));
  }

  #letGo(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held) this.#pool.release(this, held);
  }

  #sourceAsked(): void {
    if (this.#sourceBytes === 0) return;
    this.#pool.count(this, -this.#sourceBytes);
    this.#sourceBytes = 0;
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#rest = undefined;
    this.#sourceAsked();
    this.#letGo();
    this.#pool.left(this);
    this.#source.ended();
  }
}

/** A source of one text. */
export function sourceOf(text: string, ended: () => void = () => undefined): ByteSource {
  let left: string | undefined = text;
  return {
    next: () => {
      const bytes = left === undefined ? undefined : new TextEncoder().encode(left);
      left = undefined;
      return bytes;
    },
    ended,
  };
}
