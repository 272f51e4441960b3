export interface BackoffOptions {
  readonly firstMs: number;
  readonly capMs: number;
  /** Growth a step; 2 by default. */
  readonly factor?: number;
  /** Source of jitter in [0, 1), normally `clock.random`. */
  readonly random: () => number;
}

/**
 * Endless waits in milliseconds: exponential up to the cap, with full jitter over the upper half
 * (each wait is between half of and the whole nominal value), so that peers do not march in step.
 */
export function* backoff(options: BackoffOptions): Generator<number, never> {
  let nominal = options.firstMs;
  for (;;) {
    yield Math.round(nominal / 2 + (nominal / 2) * options.random());
    nominal = Math.min(options.capMs, nominal * (options.factor ?? 2));
  }
}
