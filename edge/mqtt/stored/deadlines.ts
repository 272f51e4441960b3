import type { Clock } from "#shared/clock";

/** All that waits is gone through each time, which may be 100,000 messages: those that are due within a second come together. */
const leastBetweenMs = 1000;

/** Calls back when the earliest of many times has come, or up to a second later if it did so lately. */
export class Deadlines {
  readonly #clock: Clock;
  readonly #now: () => number;
  readonly #run: () => void;
  #nextMs = Infinity;
  /** before this time it does not call back again */
  #restsUntilMs = -Infinity;
  #timer: Disposable | undefined;
  #isEnded = false;

  /** @param run has to note again what is still to come */
  constructor(clock: Clock, now: () => number, run: () => void) {
    this.#clock = clock;
    this.#now = now;
    this.#run = run;
  }

  /** Whether a time is to come. */
  get isWaiting(): boolean {
    return this.#nextMs !== Infinity;
  }

  note(atMs: number): void {
    const dueMs = Math.max(atMs, this.#restsUntilMs);
    if (dueMs >= this.#nextMs || this.#isEnded) return;
    this.#nextMs = dueMs;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#clock.after(Math.max(1, dueMs - this.#now()), () => {
      this.#nextMs = Infinity;
      this.#restsUntilMs = this.#now() + leastBetweenMs;
      this.#timer = undefined;
      this.#run();
    });
  }

  end(): void {
    this.#isEnded = true;
    this.#timer?.[Symbol.dispose]();
  }
}
