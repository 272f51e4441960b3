import type { Clock } from "#shared/clock";

/** A token bucket: so many writes a second, and at most a fifth of a second's at once. */
export class Pace {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #perSecond: number;
  #allowance: number;
  #countedMs: number;

  /** @param perSecond undefined: there is no limit */
  constructor(perSecond: number | undefined, clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
    this.#perSecond = perSecond ?? Number.POSITIVE_INFINITY;
    this.#allowance = this.#perSecond;
    this.#countedMs = clock.monotonicMs();
  }

  /** @returns whether a write may be started now */
  take(): boolean {
    this.#earn();
    if (this.#allowance < 1) return false;
    this.#allowance -= 1;
    return true;
  }

  /** From now on there is no limit. */
  release(): void {
    this.#allowance = Number.POSITIVE_INFINITY;
  }

  #earn(): void {
    if (this.#allowance === Number.POSITIVE_INFINITY) return;
    const nowMs = this.#clock.monotonicMs();
    const earned = ((nowMs - this.#countedMs) / 1000) * this.#perSecond;
    this.#countedMs = nowMs;
    this.#allowance = Math.max(this.#allowance, Math.min(this.#perSecond / 5, this.#allowance + earned));
  }
}
