import type { Clock } from "#shared/clock";

export interface LinkedRepeatOptions {
  /** From the moment the link comes up, milliseconds. */
  readonly firstMs: number;
  /** Rejects for a bug alone. @returns milliseconds until it is called again */
  readonly run: () => Promise<number>;
  readonly clock: Pick<Clock, "after">;
}

/** Does something again and again while there is a link to the cloud. Disposing waits for what is under way. */
export class LinkedRepeat implements AsyncDisposable {
  readonly #options: LinkedRepeatOptions;
  #online = false;
  #timer: Disposable | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: LinkedRepeatOptions) {
    this.#options = options;
  }

  linkChanged(online: boolean): void {
    this.#online = online;
    this.#plan(this.#options.firstMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#online = false;
    this.#timer?.[Symbol.dispose]();
    await this.#running;
  }

  #plan(waitMs: number): void {
    this.#timer?.[Symbol.dispose]();
    if (!this.#online) return;
    this.#timer = this.#options.clock.after(waitMs, () => {
      this.#running = this.#options.run().then((nextMs) => this.#plan(nextMs));
    });
  }
}
