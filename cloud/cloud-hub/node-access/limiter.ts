import type { Clock } from "#shared/clock";

/** The limits of enrollment are given for a minute (docs/security.md). */
const windowMs = 60_000;
/** Subjects at a time; of more the oldest are forgotten, so that a flood of addresses does not fill the memory. */
const mostRemembered = 10_000;

interface Window {
  readonly sinceMs: number;
  count: number;
}

/** Counts by subject (an address, a token, a node) how often something happened within a minute. */
export class Limiter {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #most: number;
  readonly #windows = new Map<string, Window>();

  constructor(clock: Pick<Clock, "monotonicMs">, mostAMinute: number) {
    this.#clock = clock;
    this.#most = mostAMinute;
  }

  /** @returns seconds until the subject may try again; undefined: it may now */
  waitOf(subject: string): number | undefined {
    const window = this.#current(subject);
    if (!window || window.count < this.#most) return undefined;
    return Math.max(1, Math.ceil((window.sinceMs + windowMs - this.#clock.monotonicMs()) / 1000));
  }

  count(subject: string): void {
    const window = this.#current(subject);
    if (window) {
      window.count += 1;
      return;
    }
    this.#windows.delete(subject);
    this.#windows.set(subject, { sinceMs: this.#clock.monotonicMs(), count: 1 });
    const [oldest] = this.#windows.keys();
    if (this.#windows.size > mostRemembered && oldest !== undefined) this.#windows.delete(oldest);
  }

  #current(subject: string): Window | undefined {
    const window = this.#windows.get(subject);
    return window && this.#clock.monotonicMs() - window.sinceMs < windowMs ? window : undefined;
  }
}
