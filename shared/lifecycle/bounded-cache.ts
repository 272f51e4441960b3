import type { Clock } from "#shared/clock";

export interface BoundedCacheOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly keepMs: number;
  readonly most: number;
}

interface Kept<V> {
  readonly value: Promise<V>;
  readonly untilMs: number;
}

/** Answers that hold for a while; of more than `most` the oldest are forgotten. Those who ask at the same time share one. */
export class BoundedCache<V> {
  readonly #options: BoundedCacheOptions;
  /** oldest first */
  readonly #kept = new Map<string, Kept<V>>();

  constructor(options: BoundedCacheOptions) {
    this.#options = options;
  }

  /** A rejection is not kept. */
  async get(key: string, find: () => Promise<V>): Promise<V> {
    const { clock, keepMs, most } = this.#options;
    const nowMs = clock.monotonicMs();
    const known = this.#kept.get(key);
    if (known && known.untilMs > nowMs) return known.value;
    const fresh = { value: find(), untilMs: nowMs + keepMs };
    this.#kept.delete(key);
    this.#kept.set(key, fresh);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > most && oldest !== undefined) this.#kept.delete(oldest);
    try {
      return await fresh.value;
    } catch (error) {
      if (this.#kept.get(key) === fresh) this.#kept.delete(key);
      throw error;
    }
  }
}
