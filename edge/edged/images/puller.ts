import type { Clock } from "#shared/clock";
import { AppError, asError, UnavailableError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { ContainerRuntime, PullProgress } from "#edge/runtime";
import type { PodEvent } from "#edge/edged/events";
import { readAuthFile } from "./auth-file.ts";
import { findCredentials } from "./credentials.ts";
import { sourcesOf, type PullSource, type RegistryMirrors } from "./mirrors.ts";
import { PullQueue } from "./pull-queue.ts";

export interface PullConfig {
  /** Pulls at once; 0: no limit. */
  readonly parallel: number;
  /** A pull without progress for so long is cancelled. */
  readonly idleMs: number;
  /** A docker config with credentials for all pods; undefined: none. */
  readonly authFile: string | undefined;
  readonly mirrors: RegistryMirrors;
}

export interface PullerDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface PullJob {
  readonly ref: string;
  /** Texts of docker configs; those of the node come after them. */
  readonly dockerConfigs: readonly string[];
  readonly record: (event: PodEvent) => void;
  readonly signal: AbortSignal;
}

/** How long a pull took, by itself and with the time it waited for others. */
export interface PullTime {
  readonly pullMs: number;
  readonly wholeMs: number;
}

/** How often a long pull is reported. */
const progressMs = 30_000;

/** Pulls images one after the other, or some at once: from mirrors first, with the credentials that match. */
export class ImagePuller {
  readonly #config: PullConfig;
  readonly #deps: PullerDeps;
  readonly #queue: PullQueue;

  constructor(config: PullConfig, deps: PullerDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#queue = new PullQueue(config.parallel);
  }

  /** @throws AppError "image-pull" with the reason of the registry, UnavailableError, or the reason of the signal */
  async pull(job: PullJob): Promise<PullTime> {
    const { clock } = this.#deps;
    const sinceMs = clock.monotonicMs();
    using _place = await this.#queue.enter(job.signal);
    const startMs = clock.monotonicMs();
    await this.#pullFromAny(job);
    const endMs = clock.monotonicMs();
    return { pullMs: endMs - startMs, wholeMs: endMs - sinceMs };
  }

  async #pullFromAny(job: PullJob): Promise<void> {
    const { runtime, log } = this.#deps;
    const sources = sourcesOf(job.ref, runtime.imageStore ? this.#config.mirrors : {});
    for (const source of sources) {
      try {
        await this.#pullFrom(source, job);
        if (source.isMirror) await this.#adopt(source.ref, job.ref);
        return;
      } catch (error) {
        job.signal.throwIfAborted();
        if (!source.isMirror || error instanceof UnavailableError) throw error;
        log.info("image not pulled from mirror", { image: job.ref, mirror: source.ref, error });
      }
    }
  }

  /** The image of a mirror gets the name that was wanted. By digest it is found under any name. */
  async #adopt(pulled: string, wanted: string): Promise<void> {
    const store = this.#deps.runtime.imageStore;
    if (!store || wanted.includes("@")) return;
    await store.tag(pulled, wanted);
    await store.untag(pulled);
  }

  /** With one credential after the other until the registry accepts one, as kubelet. */
  async #pullFrom({ ref }: PullSource, job: PullJob): Promise<void> {
    const { authFile, idleMs } = this.#config;
    const { runtime, log } = this.#deps;
    const nodeConfigs = authFile === undefined ? [] : readAuthFile(authFile, log);
    const credentials = findCredentials(ref, [...job.dockerConfigs, ...nodeConfigs]);
    const reasons: string[] = [];
    for (const auth of credentials.length === 0 ? [undefined] : credentials) {
      using report = this.#report(job);
      const { signal } = job;
      try {
        return await runtime.pullImage(ref, { auth, signal, idleMs, onProgress: report.onProgress });
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof UnavailableError) throw error;
        reasons.push(asError(error).message);
      }
    }
    throw new AppError("image-pull", reasons.length === 1 ? (reasons[0] ?? "") : `[${reasons.join(", ")}]`);
  }

  /** One Event of a pull that takes long, which says how far it is. */
  #report({ ref, record }: PullJob): Disposable & { readonly onProgress: (now: PullProgress) => void } {
    const { clock } = this.#deps;
    let latest: PullProgress = { doneBytes: 0, totalBytes: 0 };
    let before = 0;
    const timer = clock.every(progressMs, () => {
      const rate = (latest.doneBytes - before) / (progressMs / 1000);
      before = latest.doneBytes;
      if (latest.totalBytes > 0) record(progressEvent(ref, latest, rate));
    });
    return {
      onProgress: (now) => {
        latest = now;
      },
      [Symbol.dispose]: () => timer[Symbol.dispose](),
    };
  }
}

function progressEvent(
  ref: string,
  { doneBytes, totalBytes }: PullProgress,
  bytesPerSecond: number,
): PodEvent {
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
  const message = `Pulling image "${ref}": ${mb(doneBytes)} of ${mb(totalBytes)} MB, ${mb(bytesPerSecond)} MB/s`;
  return { type: "Normal", reason: "Pulling", message, series: `progress ${ref}` };
}
