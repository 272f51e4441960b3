/** As two pieces of a stream on the link: with more waiting, what produces it waits. */
const mostWaiting = 64 * 1024;

/**
 * Joins what arrives while the last write is under way: an engine sends each line on its own, and each write is a frame on the
 * link. The first piece is written at once.
 */
export class JoinedWriter {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #pieces: Uint8Array[] = [];
  #size = 0;
  #flushing: Promise<void> | undefined;

  constructor(writer: WritableStreamDefaultWriter<Uint8Array>) {
    this.#writer = writer;
  }

  /** Resolves when there is room for more. Rejects when the stream has failed. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#pieces.push(bytes);
    this.#size += bytes.length;
    if (!this.#flushing) {
      this.#flushing = this.#flush();
      // The next call that writes or closes gets the failure.
      this.#flushing.catch(() => undefined);
    }
    if (this.#size >= mostWaiting) await this.#flushing;
  }

  /** Writes the rest, and ends this direction of the stream. */
  async close(): Promise<void> {
    await this.#flushing;
    await this.#writer.close();
  }

  async #flush(): Promise<void> {
    while (this.#pieces.length > 0) {
      const bytes = this.#take();
      await this.#writer.write(bytes);
    }
    this.#flushing = undefined;
  }

  #take(): Uint8Array {
    const [first] = this.#pieces;
    const bytes = this.#pieces.length === 1 && first ? first : Buffer.concat(this.#pieces);
    this.#pieces.length = 0;
    this.#size = 0;
    return bytes;
  }
}
