import type { Clock } from "#shared/clock";

/** What the two clocks of a machine may differ by, with corrections. */
const slackMs = 3_600_000;
/** A wall clock that is set back within this was wrong. */
const doubtMs = 24 * 3_600_000;

/**
 * The time by which uploads expire. A clock that is a year ahead for an hour would expire all of them: time that passed by the
 * wall clock and not by the monotonic clock counts after a day only.
 */
export class SteadyTime {
  readonly #clock: Pick<Clock, "nowMs" | "monotonicMs">;
  #knownMs: number;
  #atMs: number;
  #doubtedSinceMs: number | undefined;

  /** `lastMs`: when something was known to happen last, before this process. */
  constructor(clock: Pick<Clock, "nowMs" | "monotonicMs">, lastMs: number | undefined) {
    this.#clock = clock;
    this.#knownMs = lastMs ?? clock.nowMs();
    this.#atMs = clock.monotonicMs();
  }

  nowMs(): number {
    const wallMs = this.#clock.nowMs();
    const monotonicMs = this.#clock.monotonicMs();
    const dueMs = this.#knownMs + (monotonicMs - this.#atMs);
    const isAhead = wallMs > dueMs + slackMs;
    if (!isAhead) this.#doubtedSinceMs = undefined;
    else this.#doubtedSinceMs ??= monotonicMs;
    const doubts = this.#doubtedSinceMs !== undefined && monotonicMs - this.#doubtedSinceMs < doubtMs;
    this.#knownMs = doubts ? dueMs : wallMs;
    this.#atMs = monotonicMs;
    return this.#knownMs;
  }
}
