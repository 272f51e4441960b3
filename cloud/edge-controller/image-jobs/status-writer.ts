import { isKubeError, resources, type KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { ImagePrePullStatus } from "./job.ts";
import { statusForms } from "./shorter-status.ts";

export interface JobStatusOptions {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly name: string;
  readonly read: () => ImagePrePullStatus;
  readonly signal: AbortSignal;
}

/** What many nodes report together is written together, and a large status not as often. */
const soonMs = 500;
const pauseMsPer64KiB = 1000;

/**
 * Writes the status of one job, the latest at a time, until the API has it. When the API refuses it for good, less of it is
 * written from then on, down to a summary; a summary that is refused is not written until the status changes.
 */
export class JobStatusWriter {
  readonly #options: JobStatusOptions;
  #dirty = false;
  /** Index in `statusForms`. */
  #form = 0;
  /** By the monotonic clock. */
  #nextAtMs = 0;
  #writing: Promise<void> | undefined;

  constructor(options: JobStatusOptions) {
    this.#options = options;
  }

  /** The status is another one. */
  changed(): void {
    this.#dirty = true;
    this.#writing ??= this.#write();
  }

  /** Resolves once what changed is written; never rejects. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    const { clock, log, name, signal } = this.#options;
    const waits = backoff({ firstMs: 500, capMs: 30_000, random: () => clock.random() });
    await Promise.resolve();
    try {
      while (this.#dirty && !signal.aborted) {
        const waitMs = this.#nextAtMs - clock.monotonicMs();
        if (waitMs > 0) await clock.sleep(waitMs, { signal });
        const pauseMs = await this.#tryWrite();
        this.#nextAtMs = clock.monotonicMs() + (pauseMs ?? waits.next().value);
      }
    } catch (error) {
      // The job was deleted, or cloudcore shuts down.
      log.debug("status of a job for images not written", { job: name, error });
    } finally {
      this.#writing = undefined;
    }
  }

  /** @returns how long to wait before the next write; undefined when the API did not take this one, and may later */
  async #tryWrite(): Promise<number | undefined> {
    const { kube, log, name, read, signal } = this.#options;
    this.#dirty = false;
    const whole = read();
    const status = statusForms[this.#form]?.(whole);
    const text = JSON.stringify(status);
    const pauseMs = soonMs + (pauseMsPer64KiB * Buffer.byteLength(text)) / 65_536;
    try {
      const type = resources.imagePrePullJobs;
      await kube.patch(type, { name }, { status }, { type: "merge", subresource: "status", signal });
      return pauseMs;
    } catch (error) {
      if (isKubeError(error, 404) || signal.aborted) return pauseMs;
      log.warn("cannot write the status of a job for images", { job: name, error });
      if (!isRefusedForGood(error)) {
        this.#dirty = true;
        return undefined;
      }
      const next = statusForms.findIndex(
        (form, index) => index > this.#form && JSON.stringify(form(whole)) !== text,
      );
      if (next === -1) return pauseMs;
      this.#form = next;
      this.#dirty = true;
      return soonMs;
    }
  }
}

/** Whether the API refuses what was written, and would again: it is too large (413) or invalid (422). */
export function isRefusedForGood(error: unknown): boolean {
  return isKubeError(error, 413, 422) || (isKubeError(error, 500) && isTooLargeForEtcd(error.message));
}

/** etcd's and gRPC's refusals reach clients of kube-apiserver as 500. */
function isTooLargeForEtcd(message: string): boolean {
  return /request is too large|message larger than max/.test(message);
}
