import type { Clock } from "#shared/clock";

/** Waits between replacements of pods that fail on a node at once, as its kubelet may refuse each; as daemon_controller.go. */
const firstMs = 1_000;
const longestMs = 900_000;

interface Failure {
  readonly waitMs: number;
  readonly atMs: number;
}

/** How long a node whose pods failed waits for the next one. */
export class FailureBackoff {
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** The least recent failure first; what is older than twice the longest wait is forgotten. */
  readonly #failures = new Map<string, Failure>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Milliseconds until the failed pod of `key` may be replaced; 0 counts as a replacement. */
  next(key: string): number {
    const now = this.#clock.monotonicMs();
    this.#forget(now);
    const last = this.#failures.get(key);
    const left = last ? last.atMs + last.waitMs - now : 0;
    if (left > 0) return left;
    this.#failures.delete(key);
    const waitMs = last ? Math.min(longestMs, last.waitMs * 2) : firstMs;
    this.#failures.set(key, { waitMs, atMs: now });
    return 0;
  }

  #forget(now: number): void {
    for (const [key, { atMs }] of this.#failures) {
      if (now - atMs < 2 * longestMs) return;
      this.#failures.delete(key);
    }
  }
}
