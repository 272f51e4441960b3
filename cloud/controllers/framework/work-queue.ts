import { nextTurn, type Clock } from "#shared/clock";
import { asError } from "#shared/errors";
import { note } from "#shared/lifecycle";
import type { Logger } from "#shared/log";

export interface WorkQueueOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Brings the object of the key to its desired state; has to be idempotent. */
  readonly reconcile: (key: string) => Promise<void>;
}

/** Back-off of failed keys: from a conflict, solved by the next event, to an outage of the API server. */
const firstRetryMs = 20;
const longestRetryMs = 30_000;
/** Doublings after which the back-off has reached its limit: keeps the power small. */
const maxDoublings = 12;
/** Failures in a row from which on they are logged as warnings: single conflicts are normal. */
const quietFailures = 5;
/** Keys reconciled concurrently, which also bounds concurrent API requests; upstream runs 5 to 20 workers. */
const workers = 20;

/**
 * Keys to reconcile, as client-go's rate limiting work queue: one run of a key at a time, a bounded number of keys
 * concurrently; a key added during its run runs once more. Each run begins in its own turn of the event loop, so that keys
 * that keep adding each other do not starve other work. A failed run is retried with exponential back-off until it succeeds.
 */
export class WorkQueue implements AsyncDisposable {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #again = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, { readonly dueMs: number; readonly timer: Disposable }>();
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  add(key: string): void {
    if (this.#closed) return;
    this.#clearTimer(key);
    if (this.#running.has(key)) {
      this.#again.add(key);
      return;
    }
    this.#waiting.add(key);
    this.#start();
  }

  /** Adds the key after `ms`, unless it is added earlier. */
  addAfter(key: string, ms: number): void {
    const { clock } = this.#options;
    const dueMs = clock.monotonicMs() + ms;
    if (this.#closed || (this.#timers.get(key)?.dueMs ?? Infinity) <= dueMs) return;
    this.#clearTimer(key);
    const timer = clock.after(ms, () => {
      this.#timers.delete(key);
      this.add(key);
    });
    this.#timers.set(key, { dueMs, timer });
  }

  #start(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= workers) return;
      this.#waiting.delete(key);
      this.#running.set(key, this.#run(key));
    }
  }

  async #run(key: string): Promise<void> {
    await nextTurn();
    note(this.#options.name, key);
    try {
      if (!this.#closed) await this.#options.reconcile(key);
      this.#failures.delete(key);
    } catch (error) {
      this.#retry(key, error);
    }
    this.#running.delete(key);
    if (this.#again.delete(key)) this.add(key);
    this.#start();
  }

  #retry(key: string, error: unknown): void {
    if (this.#closed) return;
    const count = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, count);
    const level = count > quietFailures ? "warn" : "debug";
    this.#options.log[level]("reconcile failed", { queue: this.#options.name, key, error: asError(error) });
    const waitMs = firstRetryMs * 2 ** Math.min(count - 1, maxDoublings);
    this.addAfter(key, Math.min(longestRetryMs, waitMs));
  }

  #clearTimer(key: string): void {
    this.#timers.get(key)?.timer[Symbol.dispose]();
    this.#timers.delete(key);
  }

  /** Drops waiting keys and waits for running ones. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const { timer } of this.#timers.values()) timer[Symbol.dispose]();
    this.#timers.clear();
    this.#waiting.clear();
    this.#again.clear();
    await Promise.all(this.#running.values());
  }
}
