import { readFileSync } from "node:fs";
import type { BootTime, Clock } from "./clock.ts";

/** The machine's own clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  bootTime,
  random: () => Math.random(),
  sleep: (ms, options) => sleep(ms, options?.signal),
  after,
  every: (ms, run) => {
    const timer = setInterval(run, Math.min(ms, longestTimerMs));
    return { [Symbol.dispose]: () => clearInterval(timer) };
  },
};

/** In the kernel's own count, which goes on while the machine sleeps. */
function bootTime(): BootTime {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const ms = Number.parseFloat(readFileSync("/proc/uptime", "utf8")) * 1000;
    return Number.isFinite(ms) ? { boot, ms } : { boot: "", ms: 0 };
  } catch {
    // A container may hide them.
    return { boot: "", ms: 0 };
  }
}

/** A timer holds 31 bits of milliseconds (25 days); one for longer than that would run at once, and again and again. */
const longestTimerMs = 2 ** 31 - 1;

function after(ms: number, run: () => void): Disposable {
  let left = ms;
  let timer: ReturnType<typeof setTimeout>;
  const next = (): void => {
    const step = Math.min(left, longestTimerMs);
    left -= step;
    timer = setTimeout(left > 0 ? next : run, step);
  };
  next();
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  using _timer = after(ms, resolve);
  const abort = (): void => reject(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await promise;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
