interface BytesReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(reason?: unknown): Promise<void>;
}

/** What is still taken of a body that nobody wants, so that its sender gets the answer: cancelling it resets the stream. */
const mostDiscarded = 64 * 1024 * 1024;

/** A body that fails after so many bytes. What of it is not wanted is read and dropped. */
export class LimitedBody {
  readonly readable: ReadableStream<Uint8Array>;
  readonly #reader: BytesReader;
  readonly #limit: number;
  #bytes = 0;

  constructor(body: ReadableStream<Uint8Array>, limit: number) {
    this.#reader = body.getReader();
    this.#limit = limit;
    this.readable = new ReadableStream<Uint8Array>(
      {
        pull: (controller) => this.#pull(controller),
        cancel: () => this.discard(),
      },
      { highWaterMark: 0 },
    );
  }

  get isTooLarge(): boolean {
    return this.#bytes > this.#limit;
  }

  /** Reads the rest and drops it, as long as it is not endless. */
  discard(): void {
    void this.#drain().catch(() => undefined);
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const { done, value } = await this.#reader.read();
    if (done || !value) return controller.close();
    this.#bytes += value.length;
    if (!this.isTooLarge) return controller.enqueue(value);
    this.discard();
    return controller.error(new Error("the body is too large"));
  }

  async #drain(): Promise<void> {
    let dropped = 0;
    while (dropped < mostDiscarded) {
      const { done, value } = await this.#reader.read();
      if (done) return;
      dropped += value?.length ?? 0;
    }
    await this.#reader.cancel("the body is endless");
  }
}
