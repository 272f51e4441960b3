import type { Clock } from "#shared/clock";
import { asError } from "#shared/errors";
import { note } from "#shared/lifecycle";
import type { Logger } from "#shared/log";

export interface WorkQueueOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Brings the thing named by the key to where it should be; may be repeated at any time. */
  readonly reconcile: (key: string) => Promise<void>;
}

const firstRetryMs = 20;
const lastRetryMs = 30_000;
/** Runs side by side; as many calls of the API are under way at most. */
const workers = 20;

/**
 * Keys to reconcile: one run per key at a time, a bounded number of keys side by side, a key added while it runs runs once
 * more. Each run begins in a turn of the event loop of its own, so that keys which add each other for ever cost their own
 * progress and nobody else's. A failed run is repeated with exponential backoff until it succeeds.
 */
export class WorkQueue implements AsyncDisposable {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #again = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, Disposable>();
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

  /** Adds the key after `ms`, unless it is added before. */
  addAfter(key: string, ms: number): void {
    if (this.#closed || this.#timers.has(key)) return;
    this.#timers.set(
      key,
      this.#options.clock.after(ms, () => {
        this.#timers.delete(key);
        this.add(key);
      }),
    );
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
    const level = count > 5 ? "warn" : "debug";
    this.#options.log[level]("reconcile failed", { queue: this.#options.name, key, error: asError(error) });
    this.addAfter(key, Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(count - 1, 12)));
  }

  #clearTimer(key: string): void {
    this.#timers.get(key)?.[Symbol.dispose]();
    this.#timers.delete(key);
  }

  /** Drops what is waiting and waits for what is running. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) timer[Symbol.dispose]();
    this.#timers.clear();
    this.#waiting.clear();
    this.#again.clear();
    await Promise.all(this.#running.values());
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
