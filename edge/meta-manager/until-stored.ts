import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";

/** As often as room on a full disk may return without the attempts costing anything. */
const retryMs = 5000;
/** A status a pod, and the latest Events: a node has some hundred pods. */
const mostWaiting = 1000;

/**
 * Reports of edged, which it does not repeat: stored as soon as the disk takes them, so that a full disk delays them
 * only. For each key the latest counts; past a thousand keys the oldest are dropped.
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

  /** @param store runs now, and again every five seconds until it does not throw */
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
      this.#log.error("cannot store reports about pods, retrying", {
        error,
        waiting: this.#waiting.size,
      });
      this.#timer = this.#clock.after(retryMs, () => this.#runAll());
    }
  }
}
