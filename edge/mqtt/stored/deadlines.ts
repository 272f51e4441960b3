import type { Clock } from "#shared/clock";

/** Calls back when the earliest of many times has come. */
export class Deadlines {
  readonly #clock: Clock;
  readonly #now: () => number;
  readonly #run: () => void;
  #nextMs = Infinity;
  #timer: Disposable | undefined;
  #isEnded = false;

  /** @param run has to note again what is still to come */
  constructor(clock: Clock, now: () => number, run: () => void) {
    this.#clock = clock;
    this.#now = now;
    this.#run = run;
  }

  note(atMs: number): void {
    if (atMs >= this.#nextMs || this.#isEnded) return;
    this.#nextMs = atMs;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#clock.after(Math.max(1, atMs - this.#now()), () => {
      this.#nextMs = Infinity;
      this.#timer = undefined;
      this.#run();
    });
  }

  end(): void {
    this.#isEnded = true;
    this.#timer?.[Symbol.dispose]();
  }
}
