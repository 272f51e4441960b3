import type { Readable } from "node:stream";
import { AppError, UnavailableError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import { findAuth, withTag, type Image, type ImageService, type PullOptions } from "#edge/runtime";
import type { DockerCalls } from "./calls.ts";
import { readReason, toRuntimeError } from "./error.ts";
import { asReadable, readLines } from "./lines.ts";
import { readImage, readProgressError } from "./read.ts";

interface DockerImagesOptions {
  readonly clock: Clock;
  readonly pullIdleMs: number;
  readonly signal: AbortSignal;
}

/** Images of the engine. A pull has no deadline: it fails when nothing arrives for `pullIdleMs`. */
export class DockerImages implements ImageService {
  readonly #calls: DockerCalls;
  readonly #options: DockerImagesOptions;

  constructor(calls: DockerCalls, options: DockerImagesOptions) {
    this.#calls = calls;
    this.#options = options;
  }

  async findImage(ref: string): Promise<Image | undefined> {
    const { docker } = this.#calls;
    const found = await this.#calls.find(`look for image "${ref}"`, () => docker.getImage(ref).inspect());
    if (!found) return undefined;
    return {
      id: found.Id,
      names: [...(found.RepoTags ?? []), ...(found.RepoDigests ?? [])],
      sizeBytes: found.Size,
      user: found.Config.User,
    };
  }

  async listImages(): Promise<readonly Image[]> {
    const images = await this.#calls.call("list images", {}, () => this.#calls.docker.listImages());
    return images.map(readImage);
  }

  async pullImage(ref: string, options: PullOptions): Promise<void> {
    const auth = options.dockerConfigs
      .map((text) => findAuth(ref, text))
      .find((found) => found !== undefined);
    const abort = new AbortController();
    const signal = AbortSignal.any([
      this.#options.signal,
      abort.signal,
      ...(options.signal ? [options.signal] : []),
    ]);
    try {
      // Without a tag Docker would pull all tags of the image.
      const request = { ...(auth ? { authconfig: auth } : {}), abortSignal: signal };
      const stream = await this.#calls.docker.pull(withTag(ref), request);
      await this.#followPull(asReadable(stream), abort);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = toRuntimeError(`pull image "${ref}"`, thrown);
      if (error instanceof UnavailableError) throw error;
      throw new AppError("image-pull", readReason(thrown), { cause: thrown });
    }
  }

  async #followPull(stream: Readable, abort: AbortController): Promise<void> {
    const { clock, pullIdleMs } = this.#options;
    const idle = new AppError("image-pull", `no progress for ${pullIdleMs / 1000} seconds`);
    const stop = (): void => {
      abort.abort(idle);
      stream.destroy(idle);
    };
    let timer = clock.after(pullIdleMs, stop);
    try {
      for await (const line of readLines(stream)) {
        timer[Symbol.dispose]();
        timer = clock.after(pullIdleMs, stop);
        const error = readProgressError(line);
        if (error !== undefined) throw new AppError("image-pull", error);
      }
    } finally {
      timer[Symbol.dispose]();
    }
  }
}
