/**
 * The only source of time and chance. Modules receive it; tests hand in one they advance
 * (`test/support/fake/fake-clock.ts`).
 */
export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump. */
  nowMs(): number;
  /** Milliseconds that never go back; for measuring and deadlines. */
  monotonicMs(): number;
  /** How long the machine has been up, by its kernel; times of one boot compare whatever the wall clock does. */
  bootTime(): BootTime;
  /** Uniform in [0, 1). */
  random(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
  /** Calls `run` once after `ms` unless disposed before. */
  after(ms: number, run: () => void): Disposable;
  /** Calls `run` each `ms` until disposed. */
  every(ms: number, run: () => void): Disposable;
}

export interface BootTime {
  /** Another one each boot; empty where the machine does not say. */
  readonly boot: string;
  readonly ms: number;
}

/** A time as Kubernetes' metav1.Time spells it: UTC, whole seconds. */
export function rfc3339(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** A time as Kubernetes' metav1.MicroTime spells it. */
export function rfc3339Micro(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000Z`;
}
