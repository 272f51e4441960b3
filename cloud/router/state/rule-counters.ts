import type { Outcome } from "#cloud/router/delivery";

/** What happened to the messages of a rule since its status was written last. */
interface Counts {
  successes: number;
  failures: number;
  deadLetters: number;
  lastSuccessMs: number | undefined;
  lastFailureMs: number | undefined;
  lastError: string | undefined;
}

/** An error in a status: enough to find its cause. */
const longestError = 500;

/** Counts by rule, until they are written. */
export class RuleCounters {
  readonly #counts = new Map<string, Counts>();
  readonly #nowMs: () => number;
  readonly #changed: (rule: string) => void;

  /** @param changed called with the rule whose status has to be written */
  constructor(nowMs: () => number, changed: (rule: string) => void) {
    this.#nowMs = nowMs;
    this.#changed = changed;
  }

  succeeded(rule: string, count = 1): void {
    if (count === 0) return;
    const counts = this.#of(rule);
    counts.successes += count;
    counts.lastSuccessMs = this.#nowMs();
    this.#changed(rule);
  }

  failed(rule: string, error: string, count = 1): void {
    const counts = this.#of(rule);
    counts.failures += count;
    counts.lastFailureMs = this.#nowMs();
    counts.lastError = error.slice(0, longestError);
    this.#changed(rule);
  }

  gaveUp(rule: string, error: string, count = 1): void {
    this.#of(rule).deadLetters += count;
    this.failed(rule, error, 0);
  }

  /** An attempt to deliver what waited. That a node is offline is no failure: the message waits for it. */
  ended(rule: string, outcome: Outcome, count?: number): void {
    if (outcome.kind === "done") this.succeeded(rule);
    else if (outcome.kind === "dead") this.gaveUp(rule, outcome.reason, count);
    else if (outcome.offline !== true) this.failed(rule, outcome.reason);
  }

  /** Takes what was counted. */
  take(rule: string): Counts | undefined {
    const counts = this.#counts.get(rule);
    this.#counts.delete(rule);
    return counts;
  }

  /** Puts back what could not be written. */
  restore(rule: string, taken: Counts): void {
    const counts = this.#of(rule);
    counts.successes += taken.successes;
    counts.failures += taken.failures;
    counts.deadLetters += taken.deadLetters;
    counts.lastSuccessMs ??= taken.lastSuccessMs;
    counts.lastFailureMs ??= taken.lastFailureMs;
    counts.lastError ??= taken.lastError;
  }

  #of(rule: string): Counts {
    const known = this.#counts.get(rule);
    if (known) return known;
    const counts: Counts = {
      successes: 0,
      failures: 0,
      deadLetters: 0,
      lastSuccessMs: undefined,
      lastFailureMs: undefined,
      lastError: undefined,
    };
    this.#counts.set(rule, counts);
    return counts;
  }
}

export type TakenCounts = NonNullable<ReturnType<RuleCounters["take"]>>;
