import type { Clock } from "#shared/clock";
import type { Logger } from "./logger.ts";

const everyMs = 60_000;

/** Warnings that others can cause as often as they like: each sentence once a minute, with how often it was meant since. */
export class Seldom {
  readonly #log: Logger;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #said = new Map<string, { atMs: number; unsaid: number }>();

  constructor(log: Logger, clock: Pick<Clock, "monotonicMs">) {
    this.#log = log;
    this.#clock = clock;
  }

  warn(sentence: string, fields: Readonly<Record<string, unknown>>): void {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#said.get(sentence);
    if (before && nowMs - before.atMs < everyMs) {
      before.unsaid += 1;
      return;
    }
    const more = before && before.unsaid > 0 ? { moreSince: before.unsaid } : {};
    this.#log.warn(sentence, { ...fields, ...more });
    this.#said.set(sentence, { atMs: nowMs, unsaid: 0 });
  }
}
