/** Calls of one webhook at a time; more wait for their turn. */
const mostAtOnce = 8;
/** Calls that wait for one webhook: it must not take the places of all requests of the API. */
const mostWaiting = 64;

/** Turns at the webhook of each definition. */
export class Turns {
  readonly #running = new Map<string, number>();
  readonly #waiting = new Map<string, (() => void)[]>();

  /** Runs `call` when it is its turn. @returns undefined when too many wait already */
  take<T>(who: string, call: () => Promise<T>): Promise<T> | undefined {
    const waiting = this.#waiting.get(who) ?? [];
    if (waiting.length >= mostWaiting) return undefined;
    return this.#run(who, call);
  }

  async #run<T>(who: string, call: () => Promise<T>): Promise<T> {
    const running = this.#running.get(who) ?? 0;
    if (running >= mostAtOnce) await this.#turn(who);
    else this.#running.set(who, running + 1);
    try {
      return await call();
    } finally {
      this.#pass(who);
    }
  }

  #turn(who: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(who) ?? [];
    waiting.push(resolve);
    this.#waiting.set(who, waiting);
    return promise;
  }

  /** The turn goes to who has waited longest. */
  #pass(who: string): void {
    const waiting = this.#waiting.get(who) ?? [];
    const next = waiting.shift();
    if (waiting.length === 0) this.#waiting.delete(who);
    if (next) {
      next();
      return;
    }
    const running = (this.#running.get(who) ?? 1) - 1;
    if (running > 0) this.#running.set(who, running);
    else this.#running.delete(who);
  }
}
