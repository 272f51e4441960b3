import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";

const againMs = 5000;
const mostWaiting = 1000;

/**
 * What edged has told and will not tell again is stored as soon as the disk takes it: a full disk delays it. Of one
 * key the latest counts; past a thousand keys the oldest give way.
 */
export class UntilStored implements Disposable {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #waiting = new Map<string, () => void>();
  #timer: Disposable | undefined;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  run(key: string, store: () => void): void {
    this.#waiting.delete(key);
    this.#waiting.set(key, store);
    if (!this.#timer) this.#runAll();
    const oldest = this.#waiting.keys().next();
    if (this.#waiting.size > mostWaiting && !oldest.done) this.#waiting.delete(oldest.value);
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #runAll(): void {
    this.#timer = undefined;
    try {
      for (const [key, store] of this.#waiting) {
        store();
        this.#waiting.delete(key);
      }
    } catch (error) {
      this.#log.error("reports of pods cannot be stored, trying again", {
        error,
        waiting: this.#waiting.size,
      });
      this.#timer = this.#clock.after(againMs, () => this.#runAll());
    }
  }
}
