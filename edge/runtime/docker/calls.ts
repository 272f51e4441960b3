import type Docker from "dockerode";
import { AppError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import { withDeadline } from "#shared/lifecycle";
import type { EngineCallOptions } from "#edge/runtime";
import { statusOf, toRuntimeError } from "./error.ts";

/** A Docker engine and how it is called: each call has a deadline, and what it throws is one of our errors. */
export class DockerCalls {
  readonly docker: Docker;
  readonly #clock: Clock;
  readonly #timeoutMs: number;

  /** @param timeoutMs for calls that the engine answers at once */
  constructor(docker: Docker, options: { readonly clock: Clock; readonly timeoutMs: number }) {
    this.docker = docker;
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
  }

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** `what` completes "Cannot …". @throws UnavailableError, AppError with a RuntimeCode, or the reason of the signal */
  async call<T>(
    what: string,
    options: EngineCallOptions & { readonly timeoutMs?: number },
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const ms = options.timeoutMs ?? this.#timeoutMs;
    try {
      return await withDeadline(this.#clock, { ms, what: `Cannot ${what}`, signal: options.signal }, work);
    } catch (thrown) {
      options.signal?.throwIfAborted();
      throw toRuntimeError(what, thrown);
    }
  }

  /** Undefined for what does not exist (404). */
  async find<T>(
    what: string,
    work: () => Promise<T>,
    options: EngineCallOptions & { readonly timeoutMs?: number } = {},
  ): Promise<T | undefined> {
    try {
      return await this.call(what, options, work);
    } catch (error) {
      if (error instanceof AppError && statusOf(error.cause) === 404) return undefined;
      throw error;
    }
  }

  /** For calls whose aim may be reached already. */
  async ignoring(statuses: readonly number[], work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      const status = error instanceof AppError ? statusOf(error.cause) : undefined;
      if (status === undefined || !statuses.includes(status)) throw error;
    }
  }
}
