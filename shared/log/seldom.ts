import type { Clock } from "#shared/clock";
import type { Logger } from "./logger.ts";

const everyMs = 60_000;
/** Subjects a sentence is said of in a minute: more would fill the log. */
const mostAMinute = 20;
const mostRemembered = 200;

interface Said {
  /** by subject: when it was said last, and how often it was meant since */
  readonly subjects: Map<string, { readonly atMs: number; unsaid: number }>;
  sinceMs: number;
  /** in the minute that began then */
  said: number;
  /** how often it was meant of subjects it was not said of */
  others: number;
}

/**
 * Warnings that others can cause as often as they like: each sentence once a minute for each subject (who caused it, say),
 * with how often it was meant since. It is said of so many subjects a minute; how often it was meant of others goes with
 * the next line.
 */
export class Seldom {
  readonly #log: Logger;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #sentences = new Map<string, Said>();

  constructor(log: Logger, clock: Pick<Clock, "monotonicMs">) {
    this.#log = log;
    this.#clock = clock;
  }

  warn(sentence: string, fields: Readonly<Record<string, unknown>>, subject = ""): void {
    const nowMs = this.#clock.monotonicMs();
    const said = this.#of(sentence, nowMs);
    const before = said.subjects.get(subject);
    if (before && nowMs - before.atMs < everyMs) {
      before.unsaid += 1;
      return;
    }
    if (said.said >= mostAMinute) {
      said.others += 1;
      return;
    }
    this.#log.warn(sentence, {
      ...fields,
      ...counted("moreSince", before?.unsaid),
      ...counted("others", said.others),
    });
    said.said += 1;
    said.others = 0;
    remember(said, subject, nowMs);
  }

  #of(sentence: string, nowMs: number): Said {
    const said = this.#sentences.get(sentence) ?? { subjects: new Map(), sinceMs: nowMs, said: 0, others: 0 };
    this.#sentences.set(sentence, said);
    if (nowMs - said.sinceMs < everyMs) return said;
    said.sinceMs = nowMs;
    said.said = 0;
    return said;
  }
}

/** Those it was said of last are remembered longest. */
function remember(said: Said, subject: string, nowMs: number): void {
  said.subjects.delete(subject);
  said.subjects.set(subject, { atMs: nowMs, unsaid: 0 });
  if (said.subjects.size <= mostRemembered) return;
  const [oldest] = said.subjects;
  if (!oldest) return;
  said.subjects.delete(oldest[0]);
  said.others += oldest[1].unsaid;
}

function counted(name: string, count = 0): Readonly<Record<string, number>> {
  return count > 0 ? { [name]: count } : {};
}
