import { join } from "node:path";
import type { Clock } from "#shared/clock";
import { AppError, asError } from "#shared/errors";
import type { Container } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { ByteStream } from "#shared/streams";
import type { ContainerRuntime, Image } from "#edge/runtime";
import type { PodEvent } from "#edge/edged/events";
import { ImageJobs } from "#edge/edged/images/jobs";
import { ImageArchives } from "#edge/edged/images/archives";
import { ImageAges, ImageGc, isDiskFull, type GcPolicy } from "#edge/edged/images/unused";
import { ensureImage } from "./images.ts";
import { completeReference, isReference } from "#shared/image-names";
import { ImagePuller, type PullConfig, type PullJob, type PullTime } from "./puller.ts";

/** `edged.image-…` and what else is about images in the config file. */
export interface ImagesConfig {
  readonly pulls: PullConfig;
  readonly gc: GcPolicy;
  /** A directory of archives; undefined: none. */
  readonly archiveDir: string | undefined;
}

export interface NodeImagesDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly dataDir: string;
  /** An Event of the Node. */
  readonly record: (event: PodEvent) => void;
  /** Images came that a pod may wait for. */
  readonly onLoaded: () => void;
  /** Why the machine does not pass a check item of a job for images. */
  readonly check: (item: string) => Promise<string | undefined>;
}

/** What a container's image is made sure of with. */
export interface ImageRequest extends Pick<PullJob, "dockerConfigs" | "record" | "signal"> {
  readonly container: Container;
}

/** The images of the node: pulled, loaded from archives, and removed when nobody uses them. */
export class NodeImages implements AsyncDisposable {
  readonly #deps: NodeImagesDeps;
  readonly #puller: ImagePuller;
  readonly #ages: ImageAges;
  readonly #gc: ImageGc;
  readonly #archives: ImageArchives | undefined;
  readonly #jobs: ImageJobs;
  #hasMirrors: boolean;

  constructor(config: ImagesConfig, deps: NodeImagesDeps) {
    const { dataDir, log } = deps;
    this.#deps = deps;
    this.#puller = new ImagePuller(config.pulls, deps);
    this.#ages = new ImageAges(join(dataDir, "image-ages.json"), log);
    const isHeld = (id: string): boolean => this.#archives?.isHeld(id) ?? false;
    this.#gc = new ImageGc(config.gc, { ...deps, ages: this.#ages, isHeld });
    const pull = async (
      ref: string,
      dockerConfigs: readonly string[],
      signal: AbortSignal,
    ): Promise<void> => {
      if (!isReference(ref)) throw new AppError("image-pull", `"${ref}" is not a reference to an image`);
      await this.pull({ ref, dockerConfigs, record: () => undefined, signal });
    };
    this.#jobs = new ImageJobs({ ...deps, pull });
    const { archiveDir: dir } = config;
    const recordPath = join(dataDir, "image-archives.json");
    const onFull = (): void => void this.#gc.reclaim();
    const archives = { ...deps, recordPath, complete: completeReference, onFull };
    if (dir !== undefined) this.#archives = new ImageArchives({ ...archives, dir });
    this.#hasMirrors = Object.keys(config.pulls.mirrors).length > 0;
  }

  /** Takes over a stream on which the cloud has images pulled; it is ended here. */
  takeJob(stream: ByteStream): void {
    this.#jobs.take(stream);
  }

  start(): void {
    this.#archives?.start();
    this.#gc.wake();
  }

  /** Makes sure that a container's image is in the engine, by its pull policy. @throws StartError */
  async ensure({ container, dockerConfigs, record, signal }: ImageRequest): Promise<Image> {
    const { runtime } = this.#deps;
    const image = await ensureImage(container, {
      record,
      find: (ref) => this.#find(ref),
      pull: (ref) => this.pull({ ref, dockerConfigs, record, signal }),
      readPulled: (ref) => runtime.findImage(ref),
      signal,
    });
    this.#ages.touch(image.id);
    return image;
  }

  /** @throws AppError "image-pull", UnavailableError, or the reason of the signal */
  async pull(job: PullJob): Promise<PullTime> {
    try {
      const time = await this.#puller.pull(job);
      this.#warnOfMirrors();
      return time;
    } catch (error) {
      if (isDiskFull(asError(error).message)) void this.#gc.reclaim();
      throw error;
    }
  }

  /** Removes every image that nobody uses: disk space is short. */
  reclaim(): Promise<void> {
    return this.#gc.reclaim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#jobs[Symbol.asyncDispose]();
    await this.#archives?.[Symbol.asyncDispose]();
    await this.#gc[Symbol.asyncDispose]();
  }

  async #find(ref: string): Promise<Image | undefined> {
    const { runtime } = this.#deps;
    const found = await runtime.findImage(ref);
    if (found || !(await this.#archives?.provide(completeReference(ref)))) return found;
    return runtime.findImage(ref);
  }

  /** Once; an engine that has pulled an image is there, and can be asked. */
  #warnOfMirrors(): void {
    const { log, runtime } = this.#deps;
    if (this.#hasMirrors && !runtime.imageStore)
      log.warn("edged.registry-mirrors has no effect: this engine has mirrors of its own");
    this.#hasMirrors = false;
  }
}
