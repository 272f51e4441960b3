/**
 * Runs all work of a key in the order it was given, one at a time; different keys run side by side. Unbounded: for work
 * whose amount is bounded by what it is about. Work that throws reaches `onError`, and its key goes on.
 */
export class KeyedQueue<Key> implements AsyncDisposable {
  readonly #onError: (key: Key, error: unknown) => void;
  /** the last work of a key that is not done */
  readonly #tails = new Map<Key, Promise<void>>();
  #closed = false;

  constructor(onError: (key: Key, error: unknown) => void) {
    this.#onError = onError;
  }

  /** Ignored after disposal. */
  run(key: Key, work: () => Promise<void>): void {
    if (this.#closed) return;
    const before = this.#tails.get(key) ?? Promise.resolve();
    const tail = before.then(() => this.#attempt(key, work));
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
  }

  /** Resolves when nothing is running or waiting. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }

  /** Drops what has not started and waits for what runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.idle();
  }

  async #attempt(key: Key, work: () => Promise<void>): Promise<void> {
    if (this.#closed) return;
    try {
      await work();
    } catch (error) {
      this.#onError(key, error);
    }
  }
}
