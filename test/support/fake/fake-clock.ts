import type { BootTime, Clock } from "#shared/clock";

interface Timer {
  at: number;
  readonly run: () => void;
  readonly everyMs?: number;
}

/** A clock that stops between advances; timers run in order of time. */
export class FakeClock implements Clock {
  /** Another one: the machine was started again. */
  boot = "boot-1";
  #now: number;
  /** What the wall clock is ahead of the others. */
  #aheadMs = 0;
  #seed = 42;
  readonly #timers = new Set<Timer>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#now = startMs;
  }

  nowMs(): number {
    return this.#now + this.#aheadMs;
  }

  /** Sets the wall clock, as NTP or an operator does. */
  jump(ms: number): void {
    this.#aheadMs += ms;
  }

  monotonicMs(): number {
    return this.#now;
  }

  bootTime(): BootTime {
    return { boot: this.boot, ms: this.#now };
  }

  random(): number {
    this.#seed = (this.#seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return this.#seed / 2_147_483_648;
  }

  after(ms: number, run: () => void): Disposable {
    return this.#add({ at: this.#now + ms, run });
  }

  every(ms: number, run: () => void): Disposable {
    return this.#add({ at: this.#now + ms, run, everyMs: ms });
  }

  async sleep(ms: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<void> {
    const signal = options?.signal;
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    using _timer = this.after(ms, resolve);
    const abort = (): void => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Moves time on by `ms`, running due timers, and lets pending promise jobs settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const next = this.#nextUntil(end);
      if (!next) break;
      this.#now = Math.max(this.#now, next.at);
      if (next.everyMs === undefined) this.#timers.delete(next);
      else next.at += next.everyMs;
      next.run();
    }
    this.#now = end;
    await settle();
  }

  /** Advances by steps of `stepMs` until the promise settles, at most `limitMs`. */
  async until<T>(promise: Promise<T>, stepMs = 100, limitMs = 600_000): Promise<T> {
    let settled = false;
    promise.then(
      () => (settled = true),
      () => (settled = true),
    );
    for (let spent = 0; spent < limitMs; spent += stepMs) {
      await settle();
      if (settled) break;
      await this.advance(stepMs);
    }
    return promise;
  }

  #add(timer: Timer): Disposable {
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  #nextUntil(end: number): Timer | undefined {
    let best: Timer | undefined;
    for (const timer of this.#timers) if (timer.at <= end && (!best || timer.at < best.at)) best = timer;
    return best;
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
