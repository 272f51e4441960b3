import { conditionOf, isPassed, type Observations, type Threshold } from "./thresholds.ts";

/**
 * Which thresholds are passed, and since when (`synchronize` of kubelet's eviction manager): a soft one counts after its grace
 * period, a condition lasts for the transition period, and once a threshold was passed its minimum reclaim is freed too. Times
 * are those of a clock that never goes back, milliseconds.
 */
export class Pressure {
  readonly #thresholds: readonly Threshold[];
  readonly #transitionMs: number;
  readonly #passedSince = new Map<Threshold, number>();
  /** By type: when a threshold of it was last passed. */
  readonly #seenAt = new Map<string, number>();
  #due: readonly Threshold[] = [];
  #conditions: readonly string[] = [];

  constructor(thresholds: readonly Threshold[], transitionMs: number) {
    this.#thresholds = thresholds;
    this.#transitionMs = transitionMs;
  }

  /** Types of the conditions that are True. */
  get conditions(): readonly string[] {
    return this.#conditions;
  }

  /** Thresholds that a pod is to be ended for, the most urgent first. */
  get due(): readonly Threshold[] {
    return this.#due;
  }

  observe(observations: Observations, nowMs: number): void {
    const due = new Set(this.#due);
    const passed = this.#thresholds.filter((one) => isPassed(one, observations, due.has(one)));
    for (const one of this.#thresholds)
      if (!passed.includes(one)) this.#passedSince.delete(one);
      else if (!this.#passedSince.has(one)) this.#passedSince.set(one, nowMs);
    for (const { signal } of passed) this.#seenAt.set(conditionOf(signal), nowMs);
    this.#conditions = [...this.#seenAt].flatMap(([type, atMs]) =>
      atMs === nowMs || nowMs - atMs < this.#transitionMs ? [type] : [],
    );
    this.#due = passed.filter((one) => nowMs - (this.#passedSince.get(one) ?? nowMs) >= one.graceMs);
  }
}
