import { statfs } from "node:fs/promises";
import { Readable } from "node:stream";
import { AppError, UnavailableError } from "#shared/errors";
import { asText, recordOf } from "#shared/json";
import type { Clock } from "#shared/clock";
import {
  withTag,
  type EngineCallOptions,
  type FileSystemUsage,
  type Image,
  type ImageService,
  type ImageStore,
  type PullOptions,
  type RuntimeCode,
} from "#edge/runtime";
import { toFileSystemAmounts } from "#shared/files";
import type { DockerCalls } from "./calls.ts";
import { readReason, statusOf, toRuntimeError } from "./error.ts";
import { asReadable, readLines } from "./lines.ts";
import { PullMeter, readImage, readLoaded, readProgressError, readPullLine } from "./read.ts";

interface DockerImagesOptions {
  readonly clock: Clock;
  /** For pulls that do not say it. */
  readonly pullIdleMs: number;
  readonly signal: AbortSignal;
  /** Whether the engine runs on this machine. */
  readonly isLocal: boolean;
  /** Name of the image sandboxes run. */
  readonly pauseImage: string;
}

/** Images of the engine. A pull has no deadline: it fails when nothing arrives for a while. */
export class DockerImages implements ImageService, ImageStore {
  readonly #calls: DockerCalls;
  readonly #options: DockerImagesOptions;
  #rootDir: string | undefined;

  constructor(calls: DockerCalls, options: DockerImagesOptions) {
    this.#calls = calls;
    this.#options = options;
  }

  get imageStore(): ImageStore {
    return this;
  }

  async findImage(ref: string): Promise<Image | undefined> {
    const { docker } = this.#calls;
    const found = await this.#calls.find(`look for image "${ref}"`, () => docker.getImage(ref).inspect());
    if (!found) return this.#findByDigest(ref);
    return {
      id: found.Id,
      names: [...(found.RepoTags ?? []), ...(found.RepoDigests ?? [])],
      sizeBytes: found.Size,
      user: found.Config.User,
    };
  }

  /** What a mirror calls otherwise: the same digest is the same image. */
  async #findByDigest(ref: string): Promise<Image | undefined> {
    const [, digest] = ref.split("@");
    if (digest === undefined) return undefined;
    const named = (await this.listImages()).find(({ names }) =>
      names.some((one) => one.endsWith(`@${digest}`)),
    );
    return named && this.findImage(named.id);
  }

  async listImages(): Promise<readonly Image[]> {
    const images = await this.#calls.call("list images", {}, () => this.#calls.docker.listImages());
    const { pauseImage } = this.#options;
    return images.map(readImage).map((one) => ({ ...one, pinned: one.names.includes(pauseImage) }));
  }

  async usedImages(): Promise<ReadonlySet<string>> {
    const list = (): Promise<readonly { readonly ImageID: string }[]> =>
      this.#calls.docker.listContainers({ all: true });
    return new Set((await this.#calls.call("list containers", {}, list)).map(({ ImageID }) => ImageID));
  }

  async imageFs(): Promise<FileSystemUsage | undefined> {
    const rootDir = await this.rootDir();
    if (rootDir === undefined) return undefined;
    try {
      return toFileSystemAmounts(await statfs(rootDir));
    } catch {
      // The engine runs on another root file system than edgecore, or was given another directory.
      this.#rootDir = undefined;
      return undefined;
    }
  }

  /** Where the engine keeps everything, when that is on this machine. */
  async rootDir(): Promise<string | undefined> {
    if (!this.#options.isLocal) return undefined;
    this.#rootDir ??= await this.#findRootDir();
    return this.#rootDir;
  }

  async #findRootDir(): Promise<string> {
    const info: unknown = await this.#calls.call("ask the engine", {}, () => this.#calls.docker.info());
    return asText(recordOf(info)["DockerRootDir"]);
  }

  async removeImage(id: string): Promise<void> {
    if ((await this.usedImages()).has(id))
      throw new AppError("image-in-use" satisfies RuntimeCode, `Cannot remove image "${id}": it is in use`);
    const image = await this.findImage(id);
    // By name, and never by force: by id the engine refuses an image with two names, and by force it takes one in use.
    for (const name of [...(image?.names ?? []), id]) await this.untag(name);
  }

  async untag(name: string): Promise<void> {
    const remove = (): Promise<unknown> => this.#calls.docker.getImage(name).remove();
    try {
      // The engine deletes the files of all layers before it answers.
      const timeoutMs = this.#calls.timeoutMs * 10;
      await this.#calls.ignoring([404], this.#calls.call(`remove image "${name}"`, { timeoutMs }, remove));
    } catch (error) {
      if (!(error instanceof AppError) || statusOf(error.cause) !== 409) throw error;
      throw new AppError("image-in-use" satisfies RuntimeCode, error.message, { cause: error });
    }
  }

  async tag(ref: string, name: string): Promise<void> {
    const whole = withTag(name);
    const colon = whole.lastIndexOf(":");
    const names = { repo: whole.slice(0, colon), tag: whole.slice(colon + 1) };
    await this.#calls.call(`name image "${ref}" "${name}"`, {}, () =>
      this.#calls.docker.getImage(ref).tag(names),
    );
  }

  async load(
    archive: AsyncIterable<Uint8Array>,
    options: EngineCallOptions = {},
  ): Promise<readonly string[]> {
    const body = Readable.from(archive, { objectMode: false });
    const loaded: string[] = [];
    const signal = AbortSignal.any([this.#options.signal, ...(options.signal ? [options.signal] : [])]);
    const stop = (): void => void body.destroy();
    signal.addEventListener("abort", stop);
    try {
      signal.throwIfAborted();
      const failed = Promise.withResolvers<never>();
      body.on("error", failed.reject);
      const answer = this.#calls.docker.loadImage(body, { quiet: true });
      const stream = asReadable(await Promise.race([answer, failed.promise]));
      for await (const line of readLines(stream)) {
        const error = readProgressError(line);
        if (error !== undefined) throw new AppError("engine-refused", error);
        const name = readLoaded(line);
        if (name !== undefined) loaded.push(name);
      }
      return loaded;
    } catch (thrown) {
      signal.throwIfAborted();
      throw toRuntimeError("load images", thrown);
    } finally {
      signal.removeEventListener("abort", stop);
      body.destroy();
    }
  }

  async pullImage(ref: string, options: PullOptions): Promise<void> {
    const abort = new AbortController();
    const { signal: given, auth } = options;
    const signal = AbortSignal.any([this.#options.signal, abort.signal, ...(given ? [given] : [])]);
    // Without a tag Docker would pull all tags of the image.
    const request = { ...(auth ? { authconfig: auth } : {}), abortSignal: signal };
    using idle = this.#watchIdle(options, abort);
    try {
      const stream = asReadable(await this.#calls.docker.pull(withTag(ref), request));
      await followPull(stream, { idle, signal, onProgress: options.onProgress });
    } catch (thrown) {
      signal.throwIfAborted();
      const error = toRuntimeError(`pull image "${ref}"`, thrown);
      if (error instanceof UnavailableError) throw error;
      throw new AppError("image-pull", readReason(thrown), { cause: thrown });
    }
  }

  /** Aborts a pull that does not go on, also one that the engine never answers. */
  #watchIdle({ idleMs = this.#options.pullIdleMs }: PullOptions, abort: AbortController): IdleWatch {
    const { clock } = this.#options;
    const stop = (): void =>
      abort.abort(new AppError("image-pull", `no progress for ${idleMs / 1000} seconds`));
    let timer = clock.after(idleMs, stop);
    return {
      restart: () => {
        timer[Symbol.dispose]();
        timer = clock.after(idleMs, stop);
      },
      [Symbol.dispose]: () => timer[Symbol.dispose](),
    };
  }
}

interface IdleWatch extends Disposable {
  readonly restart: () => void;
}

interface PullWatch extends Pick<PullOptions, "onProgress"> {
  readonly idle: IdleWatch;
  readonly signal: AbortSignal;
}

async function followPull(stream: Readable, { idle, signal, onProgress }: PullWatch): Promise<void> {
  const meter = new PullMeter();
  const stop = (): void => void stream.destroy(new AppError("image-pull", "aborted"));
  signal.addEventListener("abort", stop);
  try {
    for await (const line of readLines(stream)) {
      const error = readProgressError(line);
      if (error !== undefined) throw new AppError("image-pull", error);
      if (!meter.take(readPullLine(line))) continue;
      idle.restart();
      onProgress?.(meter.progress);
    }
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
