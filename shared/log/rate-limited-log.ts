import type { Clock } from "#shared/clock";
import type { Logger } from "./logger.ts";

/** A subject is logged once in this time; the next line counts what was left out. */
const everyMs = 60_000;
/** Lines of one sentence a minute: more subjects than that would fill the log. */
const maxLinesAMinute = 20;
/** Subjects whose count is kept: ten minutes of full lines, a few kilobytes a sentence. */
const maxSubjects = 200;

interface SentenceState {
  /** by subject: when its line was written last, and how many were suppressed since */
  readonly subjects: Map<string, { readonly atMs: number; suppressed: number }>;
  sinceMs: number;
  /** lines written in the minute that began then */
  lines: number;
  /** suppressed for subjects without a line of their own */
  others: number;
}

/**
 * A rate limit for warnings that others can cause as often as they like: each sentence once a minute for each subject (who
 * caused it), with how often it was suppressed since (`moreSince`). Beyond 20 lines a minute a sentence only counts, and
 * the count goes with its next line (`others`).
 */
export class RateLimitedLog {
  readonly #log: Logger;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #sentences = new Map<string, SentenceState>();

  constructor(log: Logger, clock: Pick<Clock, "monotonicMs">) {
    this.#log = log;
    this.#clock = clock;
  }

  warn(sentence: string, fields: Readonly<Record<string, unknown>>, subject = ""): void {
    const nowMs = this.#clock.monotonicMs();
    const state = this.#stateOf(sentence, nowMs);
    const before = state.subjects.get(subject);
    if (before && nowMs - before.atMs < everyMs) {
      before.suppressed += 1;
      return;
    }
    if (state.lines >= maxLinesAMinute) {
      state.others += 1;
      return;
    }
    this.#log.warn(sentence, {
      ...fields,
      ...counted("moreSince", before?.suppressed),
      ...counted("others", state.others),
    });
    state.lines += 1;
    state.others = 0;
    remember(state, subject, nowMs);
  }

  #stateOf(sentence: string, nowMs: number): SentenceState {
    const state = this.#sentences.get(sentence) ?? {
      subjects: new Map(),
      sinceMs: nowMs,
      lines: 0,
      others: 0,
    };
    this.#sentences.set(sentence, state);
    if (nowMs - state.sinceMs < everyMs) return state;
    state.sinceMs = nowMs;
    state.lines = 0;
    return state;
  }
}

/** Forgets the subject whose line is the oldest when there are too many. */
function remember(state: SentenceState, subject: string, nowMs: number): void {
  state.subjects.delete(subject);
  state.subjects.set(subject, { atMs: nowMs, suppressed: 0 });
  if (state.subjects.size <= maxSubjects) return;
  const [oldest] = state.subjects;
  if (!oldest) return;
  state.subjects.delete(oldest[0]);
  state.others += oldest[1].suppressed;
}

function counted(name: string, count = 0): Readonly<Record<string, number>> {
  return count > 0 ? { [name]: count } : {};
}
