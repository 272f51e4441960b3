import type { Clock } from "#shared/clock";

interface Kept {
  readonly text: string;
  readonly untilMs: number;
}

/** Long enough for the watches and lists that a change brings about; what a webhook was changed for shows after it. */
const keptMs = 30_000;
/** Characters of all kept texts; the oldest go first. */
const mostCharacters = 16 * 1024 * 1024;

/** Texts by key, for a short time and within a bound. */
export class KeptTexts {
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** In the order in which they were kept. */
  readonly #kept = new Map<string, Kept>();
  #characters = 0;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  get(key: string): string | undefined {
    const kept = this.#kept.get(key);
    return kept && kept.untilMs > this.#clock.monotonicMs() ? kept.text : undefined;
  }

  keep(key: string, text: string): void {
    this.#forget(key);
    this.#kept.set(key, { text, untilMs: this.#clock.monotonicMs() + keptMs });
    this.#characters += text.length;
    for (const [oldest, { untilMs }] of this.#kept) {
      if (this.#characters <= mostCharacters && untilMs > this.#clock.monotonicMs()) return;
      this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    this.#characters -= this.#kept.get(key)?.text.length ?? 0;
    this.#kept.delete(key);
  }
}
