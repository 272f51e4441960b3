import { isKubeError, resources, type KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { ImagePrePullStatus } from "./job.ts";

export interface JobStatusOptions {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly name: string;
  readonly read: () => ImagePrePullStatus;
  readonly signal: AbortSignal;
}

/** What many nodes report together is written together. */
const soonMs = 500;

/** Writes the status of one job, the latest at a time, until the API has it. */
export class JobStatusWriter {
  readonly #options: JobStatusOptions;
  #dirty = false;
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
        const isWritten = await this.#tryWrite();
        if (this.#dirty) await clock.sleep(isWritten ? soonMs : waits.next().value, { signal });
      }
    } catch (error) {
      // The job was deleted, or cloudcore shuts down.
      log.debug("status of a job for images not written", { job: name, error });
    } finally {
      this.#writing = undefined;
    }
  }

  /** @returns whether the API answered */
  async #tryWrite(): Promise<boolean> {
    const { kube, log, name, read, signal } = this.#options;
    this.#dirty = false;
    try {
      const type = resources.imagePrePullJobs;
      await kube.patch(type, { name }, { status: read() }, { type: "merge", subresource: "status", signal });
      return true;
    } catch (error) {
      if (isKubeError(error, 404) || signal.aborted) return true;
      log.warn("cannot write the status of a job for images", { job: name, error });
      this.#dirty = true;
      return false;
    }
  }
}
