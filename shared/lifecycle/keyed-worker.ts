/**
 * One job at a time per key, latest wins: while a key is busy, further values for it overwrite each other and the
 * last one runs next. Different keys run side by side. `run` must handle its own failures; one that throws reaches
 * `onError` and the key goes on with its pending value.
 */
export class KeyedWorker<Key, Value> implements AsyncDisposable {
  readonly #run: (key: Key, value: Value, signal: AbortSignal) => Promise<void>;
  readonly #onError: (key: Key, error: unknown) => void;
  readonly #pending = new Map<Key, Value>();
  readonly #busy = new Map<Key, Promise<void>>();
  readonly #abort = new AbortController();

  constructor(
    run: (key: Key, value: Value, signal: AbortSignal) => Promise<void>,
    onError: (key: Key, error: unknown) => void,
  ) {
    this.#run = run;
    this.#onError = onError;
  }

  /** Queues `value`; replaces a value of this key that has not started. Ignored after disposal. */
  submit(key: Key, value: Value): void {
    if (this.#abort.signal.aborted) return;
    this.#pending.set(key, value);
    if (!this.#busy.has(key)) this.#busy.set(key, this.#drain(key));
  }

  /** Resolves when nothing is running or pending. */
  async idle(): Promise<void> {
    while (this.#busy.size > 0) await Promise.all(this.#busy.values());
  }

  async #drain(key: Key): Promise<void> {
    await Promise.resolve();
    for (;;) {
      const value = this.#pending.get(key);
      if (value === undefined || this.#abort.signal.aborted) break;
      this.#pending.delete(key);
      try {
        await this.#run(key, value, this.#abort.signal);
      } catch (error) {
        if (!this.#abort.signal.aborted) this.#onError(key, error);
      }
    }
    this.#busy.delete(key);
  }

  /** Aborts running jobs, drops pending ones and waits for the running to return. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    this.#pending.clear();
    await this.idle();
  }
}
