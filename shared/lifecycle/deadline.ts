import { UnavailableError } from "#shared/errors";
import type { Clock } from "#shared/clock";

/**
 * Runs `work` with a signal that aborts after `ms` or with the parent.
 * @throws UnavailableError with code "timeout" naming `what` when time is up.
 */
export async function withDeadline<T>(
  clock: Clock,
  options: { readonly ms: number; readonly what: string; readonly signal?: AbortSignal | undefined },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timer = new AbortController();
  const timeout = new UnavailableError("timeout", `${options.what}: no answer within ${options.ms} ms`);
  using _timer = clock.after(options.ms, () => timer.abort(timeout));
  const signal = options.signal ? AbortSignal.any([options.signal, timer.signal]) : timer.signal;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => undefined);
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work(signal), aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
