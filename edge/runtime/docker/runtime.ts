import type Docker from "dockerode";
import { AppError, UnavailableError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import { withDeadline } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import {
  findAuth,
  labelNames,
  withTag,
  type CallOptions,
  type ContainerDetails,
  type ContainerRuntime,
  type ContainerSpec,
  type ContainerSummary,
  type EngineInfo,
  type ExecOptions,
  type ExecResult,
  type Image,
  type PullOptions,
  type RuntimeHint,
  type StrayContainer,
} from "#edge/runtime";
import { createBody } from "./create.ts";
import { readReason, statusOf, toRuntimeError } from "./error.ts";
import { readDetails, readImage, readStrays, readSummary } from "./read.ts";
import { readLines, readMultiplexed } from "./stream.ts";
import { watchEvents } from "./watch.ts";
import { pauseArchive, pauseImageName, pauseLayer, type PauseArchitecture } from "./pause-image.ts";
import type { Readable } from "node:stream";

export interface DockerRuntimeOptions {
  /** "unix:///var/run/docker.sock" or "tcp://host:port" */
  readonly address: string;
  /** Only containers of this owner are ever seen or touched. */
  readonly owner: string;
  /** Whose containers they are: what `listStrays` compares. Without it there are no strays. */
  readonly node?: string;
  /** Name of the pause image; only tests give another. */
  readonly pauseImage?: string;
  /** Written on every container, for those who look for strays. */
  readonly dataDir?: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** For calls that the engine answers at once; 30 s unless told. */
  readonly callTimeoutMs?: number;
  /** A pull without any progress for so long has failed; 2 min unless told. */
  readonly pullIdleMs?: number;
}

/** A Docker engine. Opening does not contact it: an engine that is away is told by the calls. */
export async function openDockerRuntime(options: DockerRuntimeOptions): Promise<ContainerRuntime> {
  const { default: Dockerode } = await import("dockerode");
  return new DockerRuntime(new Dockerode(connectionOf(options.address)), options);
}

function connectionOf(address: string): Docker.DockerOptions {
  if (address.startsWith("unix://")) return { socketPath: address.slice("unix://".length) };
  if (address.startsWith("/")) return { socketPath: address };
  const url = new URL(address);
  return { host: url.hostname, port: url.port || 2375, protocol: "http" };
}

class DockerRuntime implements ContainerRuntime {
  readonly #docker: Docker;
  readonly #options: DockerRuntimeOptions;
  readonly #closed = new AbortController();
  #pauseImage: Promise<string> | undefined;

  constructor(docker: Docker, options: DockerRuntimeOptions) {
    this.#docker = docker;
    this.#options = options;
  }

  async info(options?: CallOptions): Promise<EngineInfo> {
    const version = await this.#call("ask the engine", options, () => this.#docker.version());
    return { name: "docker", version: version.Version };
  }

  async findImage(ref: string): Promise<Image | undefined> {
    const found = await this.#find(`look for image "${ref}"`, () => this.#docker.getImage(ref).inspect());
    if (!found) return undefined;
    return {
      id: found.Id,
      names: [...(found.RepoTags ?? []), ...(found.RepoDigests ?? [])],
      sizeBytes: found.Size,
      user: found.Config.User,
    };
  }

  async listImages(): Promise<readonly Image[]> {
    const images = await this.#call("list images", {}, () => this.#docker.listImages());
    return images.map(readImage);
  }

  async pullImage(ref: string, options: PullOptions): Promise<void> {
    const auth = options.dockerConfigs
      .map((text) => findAuth(ref, text))
      .find((found) => found !== undefined);
    const abort = new AbortController();
    const signal = AbortSignal.any([
      this.#closed.signal,
      abort.signal,
      ...(options.signal ? [options.signal] : []),
    ]);
    try {
      // Without a tag Docker would pull all tags of the image.
      const request = { ...(auth ? { authconfig: auth } : {}), abortSignal: signal };
      const stream = await this.#docker.pull(withTag(ref), request);
      await this.#followPull(stream as Readable, abort);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = toRuntimeError(`pull image "${ref}"`, thrown);
      if (error instanceof UnavailableError) throw error;
      throw new AppError("image-pull", readReason(thrown), { cause: thrown });
    }
  }

  async #followPull(stream: Readable, abort: AbortController): Promise<void> {
    const { clock, pullIdleMs = 120_000 } = this.#options;
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
        const { error } = JSON.parse(line) as { error?: string };
        if (error !== undefined) throw new AppError("image-pull", error);
      }
    } finally {
      timer[Symbol.dispose]();
    }
  }

  async ensurePauseImage(): Promise<string> {
    this.#pauseImage ??= this.#makePauseImage();
    try {
      return await this.#pauseImage;
    } catch (error) {
      this.#pauseImage = undefined;
      throw error;
    }
  }

  /** By its id: a name can come to mean an image that a pod had pulled. */
  async #makePauseImage(): Promise<string> {
    const { pauseImage = pauseImageName } = this.#options;
    const { Arch } = await this.#call("ask the engine", {}, () => this.#docker.version());
    const architecture = Arch === "arm64" ? "arm64" : "amd64";
    const present = await this.#findPauseImage(pauseImage, architecture);
    if (present !== undefined) return present;
    await this.#importPauseImage(pauseImage, architecture);
    const made = await this.#findPauseImage(pauseImage, architecture);
    if (made === undefined)
      throw new UnavailableError("pause-image", `Cannot use the pause image: "${pauseImage}" is another one`);
    return made;
  }

  async #findPauseImage(name: string, architecture: PauseArchitecture): Promise<string | undefined> {
    const found = await this.#find(`look for image "${name}"`, () => this.#docker.getImage(name).inspect());
    const layers: readonly string[] = found?.RootFS.Layers ?? [];
    const entry = [found?.Config.Entrypoint ?? []].flat();
    const isOurs = layers.join() === pauseLayer(architecture) && entry.join() === "/pause";
    return isOurs ? found?.Id : undefined;
  }

  async #importPauseImage(name: string, architecture: PauseArchitecture): Promise<void> {
    const [repo, tag] = name.split(":");
    await this.#call("import the pause image", {}, async () => {
      // dockerode's types know only streams; its transport sends a Buffer as it is.
      const body = pauseArchive(architecture) as unknown as NodeJS.ReadableStream;
      const stream = await this.#docker.importImage(body, { repo, tag, changes: 'ENTRYPOINT ["/pause"]' });
      for await (const line of readLines(stream as Readable)) {
        const { error } = JSON.parse(line) as { error?: string };
        if (error !== undefined) throw new AppError("engine-refused", error);
      }
    });
  }

  async create(spec: ContainerSpec): Promise<string> {
    const what = `create container "${spec.identity.container}"`;
    try {
      return await this.#create(what, spec);
    } catch (error) {
      // The pause image may have been removed behind our back.
      if (error instanceof AppError && error.code === "image-not-found") this.#pauseImage = undefined;
      throw error;
    }
  }

  async #create(what: string, spec: ContainerSpec): Promise<string> {
    const body = createBody(spec, this.#options);
    const container = await this.#call(what, {}, () => this.#docker.createContainer(body));
    return container.id;
  }

  async start(id: string): Promise<void> {
    // A start may take long on a busy machine (network, mounts): twice the usual patience.
    const timeoutMs = (this.#options.callTimeoutMs ?? 30_000) * 2;
    await this.#ignoring([304], () =>
      this.#call("start container", { timeoutMs }, () => this.#docker.getContainer(id).start()),
    );
  }

  async stop(id: string, graceSeconds: number): Promise<void> {
    const timeoutMs = graceSeconds * 1000 + (this.#options.callTimeoutMs ?? 30_000);
    await this.#ignoring([304, 404], () =>
      this.#call("stop container", { timeoutMs }, () =>
        this.#docker.getContainer(id).stop({ t: graceSeconds }),
      ),
    );
  }

  async remove(id: string): Promise<void> {
    // 409: a removal is under way already.
    await this.#ignoring([404, 409], () =>
      this.#call("remove container", {}, () =>
        this.#docker.getContainer(id).remove({ force: true, v: true }),
      ),
    );
  }

  async list(podUid?: string): Promise<readonly ContainerSummary[]> {
    const label = [`${labelNames.owner}=${this.#options.owner}`];
    if (podUid !== undefined) label.push(`${labelNames.podUid}=${podUid}`);
    const found = await this.#call("list containers", {}, () =>
      this.#docker.listContainers({ all: true, filters: { label } }),
    );
    return found.map(readSummary);
  }

  async listStrays(): Promise<readonly StrayContainer[]> {
    const { node, owner } = this.#options;
    if (node === undefined) return [];
    const label = [labelNames.owner];
    const found = await this.#call("list containers", {}, () =>
      this.#docker.listContainers({ all: true, filters: { label } }),
    );
    return readStrays(found, { node, owner });
  }

  async inspect(id: string): Promise<ContainerDetails | undefined> {
    const found = await this.#find("inspect container", () => this.#docker.getContainer(id).inspect());
    return found && readDetails(found);
  }

  async exec(id: string, command: readonly string[], options: ExecOptions): Promise<ExecResult> {
    const body = { Cmd: [...command], AttachStdout: true, AttachStderr: true };
    return this.#call("run a command in a container", options, async (signal) => {
      const exec = await this.#docker.getContainer(id).exec({ ...body, abortSignal: signal });
      const stream = await exec.start({ Detach: false, Tty: false, abortSignal: signal });
      const output = await readMultiplexed(stream, options.maxOutputBytes);
      const { ExitCode: exitCode } = await exec.inspect();
      return { exitCode: exitCode ?? -1, output };
    });
  }

  watch(hear: (hint: RuntimeHint) => void): Disposable {
    const { owner, clock, log } = this.#options;
    return watchEvents({ docker: this.#docker, owner, clock, log, hear, signal: this.#closed.signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
  }

  async #find<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#call(what, {}, work);
    } catch (error) {
      if (error instanceof AppError && statusOf(error.cause) === 404) return undefined;
      throw error;
    }
  }

  async #ignoring(statuses: readonly number[], work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const status = error instanceof AppError ? statusOf(error.cause) : undefined;
      if (status === undefined || !statuses.includes(status)) throw error;
    }
  }

  async #call<T>(
    what: string,
    options: (CallOptions & { readonly timeoutMs?: number }) | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { clock, callTimeoutMs = 30_000 } = this.#options;
    const ms = options?.timeoutMs ?? callTimeoutMs;
    try {
      return await withDeadline(clock, { ms, what: `Cannot ${what}`, signal: options?.signal }, work);
    } catch (thrown) {
      options?.signal?.throwIfAborted();
      throw toRuntimeError(what, thrown);
    }
  }
}
