import type { Clock } from "#shared/clock";
import { RateLimitedLog, type Logger } from "#shared/log";

export interface LoopWatchDeps {
  readonly clock: Pick<Clock, "monotonicMs" | "every">;
  readonly log: Logger;
  /** CPU time of the process so far; distinguishes a busy loop from a process that was stopped or starved. */
  readonly cpuMs: () => number;
}

/** How often the loop has to take a turn, and what counts as blocked: probes and pings expire after a second or more. */
const everyMs = 250;
const limitMs = 500;
const unnamed = "unnamed work";

/** The process has one event loop, so what it is doing is kept once, and only while it is watched. */
let watch: LoopWatch | undefined;

/**
 * Notes what is about to run on the event loop, for the log line when it runs too long: `note("garbage", "configmaps. a/b")`.
 * Cheap enough for each request and message; called again after an `await` before heavy work.
 */
export function note(what: string, detail = ""): void {
  watch?.note(what, detail);
}

/**
 * Logs each turn of the event loop that kept everybody else waiting for more than half a second, with what was noted last
 * before it. A loop that never ends is not logged: nothing of this process runs then.
 */
export function watchLoop(deps: LoopWatchDeps): Disposable {
  const mine = new LoopWatch(deps);
  watch = mine;
  const timer = deps.clock.every(everyMs, () => mine.tick());
  return {
    [Symbol.dispose]: () => {
      timer[Symbol.dispose]();
      if (watch === mine) watch = undefined;
    },
  };
}

class LoopWatch {
  readonly #deps: LoopWatchDeps;
  readonly #seldom: RateLimitedLog;
  #tickMs: number;
  #cpuMs: number;
  /** What was noted last, and when. */
  #what = unnamed;
  #detail = "";
  #sinceMs: number;
  /** What went longest without another note since the last tick. */
  #longest = { what: unnamed, detail: "", ms: 0 };

  constructor(deps: LoopWatchDeps) {
    this.#deps = deps;
    this.#seldom = new RateLimitedLog(deps.log, deps.clock);
    this.#tickMs = deps.clock.monotonicMs();
    this.#sinceMs = this.#tickMs;
    this.#cpuMs = deps.cpuMs();
  }

  note(what: string, detail: string): void {
    this.#end(this.#deps.clock.monotonicMs());
    this.#what = what;
    this.#detail = detail;
  }

  tick(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    const cpuMs = this.#deps.cpuMs();
    this.#end(nowMs);
    const lateMs = nowMs - this.#tickMs - everyMs;
    if (lateMs > limitMs) this.#report(lateMs, cpuMs - this.#cpuMs);
    this.#tickMs = nowMs;
    this.#cpuMs = cpuMs;
    this.#what = unnamed;
    this.#detail = "";
    this.#longest = { what: unnamed, detail: "", ms: 0 };
  }

  #end(nowMs: number): void {
    const ms = nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
    if (ms > this.#longest.ms) this.#longest = { what: this.#what, detail: this.#detail, ms };
  }

  #report(lateMs: number, cpuMs: number): void {
    const { what, detail, ms } = this.#longest;
    this.#seldom.warn(
      "event loop was blocked",
      {
        ms: Math.round(lateMs),
        cpuMs: Math.round(cpuMs),
        during: `${what} ${detail}`.trim().slice(0, 300),
        duringMs: Math.round(ms),
      },
      what,
    );
  }
}
