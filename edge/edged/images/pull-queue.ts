/** Lets so many pulls run at once, in the order in which they came; a pull that is aborted while it waits leaves. */
export class PullQueue {
  readonly #limit: number;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  /** @param limit 0: as many as there are */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns what gives the place back. @throws the reason of the signal */
  async enter(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#limit > 0 && this.#running >= this.#limit) await this.#wait(signal);
    else this.#running += 1;
    return { [Symbol.dispose]: () => this.#leave() };
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const turn = Promise.withResolvers<void>();
    const abort = (): void => {
      this.#waiting.delete(turn.resolve);
      turn.reject(signal.reason);
    };
    this.#waiting.add(turn.resolve);
    signal.addEventListener("abort", abort);
    try {
      await turn.promise;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** The place goes to the next one directly, so that none can come between. */
  #leave(): void {
    const [next] = this.#waiting;
    if (!next) {
      this.#running -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
