import type Docker from "dockerode";
import { AppError, UnavailableError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import {
  labelNames,
  type EngineCallOptions,
  type ContainerDetails,
  type ContainerRuntime,
  type ContainerDiskUsage,
  type ContainerUsage,
  type ContainerResources,
  type ContainerSpec,
  type ContainerSummary,
  type EngineInfo,
  type AttachRequest,
  type CommandResult,
  type ExecRequest,
  type ExecStream,
  type FileSystemUsage,
  type Image,
  type ImageStore,
  type LogOptions,
  type OutputChunk,
  type PodConnection,
  type ProcessStream,
  type PullOptions,
  type RunOptions,
  type RuntimeHint,
  type SandboxSpec,
  type StrayContainer,
} from "#edge/runtime";
import { CgroupUsage, LogBound, logSize, readEngineStats } from "#edge/runtime/usage";
import { DockerCalls } from "./calls.ts";
import { containerBody, resourcesOf, sandboxBody, type BodyOptions } from "./create.ts";
import { DockerImages } from "./images.ts";
import { logFilesOf } from "./log-files.ts";
import { PauseImage } from "./pause-image.ts";
import { pauseImageName } from "#edge/runtime/pause-image";
import { readDetails, readStrays, readSummary } from "./read.ts";
import { DockerStreams } from "./streams.ts";
import { watchEngine } from "./watch.ts";

export interface DockerRuntimeOptions extends BodyOptions {
  /** "unix:///var/run/docker.sock" or "tcp://host:port" */
  readonly address: string;
  /** Only containers of this owner are ever seen or touched. */
  readonly owner: string;
  /** Whose containers they are: what `listStrays` compares. Without it there are no strays. */
  readonly node?: string;
  /** Name of the pause image; only tests give another. */
  readonly pauseImage?: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** For calls that the engine answers at once; 30 s by default. */
  readonly callTimeoutMs?: number;
  /** A pull without progress for so long has failed, unless it says another time; 2 min by default. */
  readonly pullIdleMs?: number;
  /** How often the size of all logs is looked at; 1 min by default. */
  readonly boundMs?: number;
}

/** A container writes no more until then than its own files may have. */
const usualBoundMs = 60_000;

/** A Docker engine. Opening does not contact it: calls reject while it cannot be reached. */
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
  /** Of the machine of the engine, once it was asked. */
  #cpus: number | undefined;
  readonly #options: DockerRuntimeOptions;
  readonly #closed = new AbortController();
  readonly #calls: DockerCalls;
  readonly #images: DockerImages;
  readonly #pauseImage: PauseImage;
  readonly #streams: DockerStreams;
  readonly #cgroups = new CgroupUsage();

  constructor(docker: Docker, options: DockerRuntimeOptions) {
    const { clock, callTimeoutMs = 30_000, pullIdleMs = 120_000, pauseImage = pauseImageName } = options;
    this.#docker = docker;
    this.#options = options;
    this.#calls = new DockerCalls(docker, { clock, timeoutMs: callTimeoutMs });
    const isLocal = connectionOf(options.address).socketPath !== undefined;
    const { signal } = this.#closed;
    this.#images = new DockerImages(this.#calls, { clock, pullIdleMs, signal, isLocal, pauseImage });
    this.#pauseImage = new PauseImage(this.#calls, pauseImage);
    this.#streams = new DockerStreams(this.#calls, { clock, signal, isLocal });
  }

  async info(options: EngineCallOptions = {}): Promise<EngineInfo> {
    const version = await this.#calls.call("ask the engine", options, () => this.#docker.version());
    return { name: "docker", version: version.Version };
  }

  findImage(ref: string): Promise<Image | undefined> {
    return this.#images.findImage(ref);
  }

  listImages(): Promise<readonly Image[]> {
    return this.#images.listImages();
  }

  pullImage(ref: string, options: PullOptions): Promise<void> {
    return this.#images.pullImage(ref, options);
  }

  removeImage(id: string): Promise<void> {
    return this.#images.removeImage(id);
  }

  imageFs(): Promise<FileSystemUsage | undefined> {
    return this.#images.imageFs();
  }

  usedImages(): Promise<ReadonlySet<string>> {
    return this.#images.usedImages();
  }

  get imageStore(): ImageStore {
    return this.#images;
  }

  async runSandbox(spec: SandboxSpec): Promise<ContainerDetails> {
    const { podNamespace, podName } = spec.identity;
    const id = await this.#createSandbox(spec);
    try {
      await this.start(id);
    } catch (error) {
      if (!(error instanceof UnavailableError)) await this.remove(id);
      throw error;
    }
    const details = await this.inspect(id);
    if (details) return details;
    const pod = `${podNamespace}/${podName}`;
    throw new UnavailableError("sandbox-gone", `Cannot use sandbox of "${pod}": it is gone`);
  }

  async #createSandbox(spec: SandboxSpec): Promise<string> {
    const image = await this.#pauseImage.ensure();
    try {
      return await this.#create(spec.identity.container, sandboxBody(spec, image, this.#options));
    } catch (error) {
      if (error instanceof AppError && error.code === "image-not-found") this.#pauseImage.forget();
      throw error;
    }
  }

  stopSandbox(id: string): Promise<void> {
    return this.stop(id, 0);
  }

  removeSandbox(id: string): Promise<void> {
    return this.remove(id);
  }

  async create(spec: ContainerSpec): Promise<string> {
    const body = containerBody(await this.#withinCpus(spec), this.#options);
    try {
      return await this.#create(spec.identity.container, body);
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== "image-not-found") throw error;
      // By digest an image is found that a mirror calls otherwise.
      const image = await this.findImage(spec.image);
      if (!image) throw error;
      return this.#create(spec.identity.container, { ...body, Image: image.id });
    }
  }

  /** More processors than there are is no limit, and Docker takes no such number. */
  async #withinCpus<T extends ContainerResources>(wanted: T): Promise<T> {
    if (wanted.nanoCpus === undefined || wanted.nanoCpus <= 1e9) return wanted;
    this.#cpus ??= (await this.#calls.call("ask the engine", {}, () => this.#docker.info())).NCPU as number;
    return { ...wanted, nanoCpus: Math.min(wanted.nanoCpus, this.#cpus * 1e9) };
  }

  async #create(name: string, body: Docker.ContainerCreateOptions): Promise<string> {
    const create = (): Promise<Docker.Container> => this.#docker.createContainer(body);
    const container = await this.#calls.call(`create container "${name}"`, {}, create);
    return container.id;
  }

  async start(id: string): Promise<void> {
    // A start may take long on a busy machine (network, mounts): twice the usual patience.
    const timeoutMs = this.#calls.timeoutMs * 2;
    const start = (): Promise<unknown> => this.#docker.getContainer(id).start();
    await this.#calls.ignoring([304], this.#calls.call("start container", { timeoutMs }, start));
  }

  async stop(id: string, graceSeconds: number): Promise<void> {
    const timeoutMs = graceSeconds * 1000 + this.#calls.timeoutMs;
    const stop = (): Promise<unknown> => this.#docker.getContainer(id).stop({ t: graceSeconds });
    await this.#calls.ignoring([304, 404], this.#calls.call("stop container", { timeoutMs }, stop));
  }

  async remove(id: string): Promise<void> {
    const remove = (): Promise<unknown> => this.#docker.getContainer(id).remove({ force: true, v: true });
    // 409: a removal is under way already.
    await this.#calls.ignoring([404, 409], this.#calls.call("remove container", {}, remove));
  }

  async update(id: string, resources: ContainerResources): Promise<void> {
    const possible = resourcesOf(await this.#withinCpus(resources));
    const update = (): Promise<unknown> => this.#docker.getContainer(id).update(possible);
    await this.#calls.call("update container", {}, update);
  }

  async list(podUid?: string): Promise<readonly ContainerSummary[]> {
    const label = [`${labelNames.owner}=${this.#options.owner}`];
    if (podUid !== undefined) label.push(`${labelNames.podUid}=${podUid}`);
    return (await this.#list(label)).map(readSummary);
  }

  async listStrays(): Promise<readonly StrayContainer[]> {
    const { node, owner } = this.#options;
    return node === undefined ? [] : readStrays(await this.#list([labelNames.owner]), { node, owner });
  }

  #list(label: readonly string[]): Promise<Docker.ContainerInfo[]> {
    const query = { all: true, filters: { label: [...label] } };
    return this.#calls.call("list containers", {}, () => this.#docker.listContainers(query));
  }

  async inspect(id: string): Promise<ContainerDetails | undefined> {
    const container = this.#docker.getContainer(id);
    const found = await this.#calls.find("inspect container", () => container.inspect());
    return found && readDetails(found);
  }

  /** From the files of the kernel: the engine's own answer costs it milliseconds of processor for each container. */
  async usage(id: string): Promise<ContainerUsage | undefined> {
    const known = this.#cgroups.read(id);
    if (known) return known;
    const details = await this.inspect(id);
    if (details?.phase !== "running") return undefined;
    const isLocal = connectionOf(this.#options.address).socketPath !== undefined;
    if (isLocal && this.#cgroups.find(id, details.pid)) return this.#cgroups.read(id);
    const container = this.#docker.getContainer(id);
    const stats = await this.#calls.find("measure container", () =>
      container.stats({ stream: false, "one-shot": true }),
    );
    return readEngineStats(stats);
  }

  /** The engine counts the files; logs are those of this machine. */
  async diskUsage(id: string, options: EngineCallOptions = {}): Promise<ContainerDiskUsage | undefined> {
    const container = this.#docker.getContainer(id);
    // dockerode passes it on, but has no type for it.
    const query: object = { size: true };
    const measure = (): Promise<Docker.ContainerInspectInfo> => container.inspect(query);
    const patience = { ...options, timeoutMs: this.#calls.timeoutMs * 2 };
    const found = await this.#calls.find("measure container", measure, patience);
    // Of a size that was not asked for there is no type.
    const { SizeRw = 0, LogPath = "" } = (found ?? {}) as { SizeRw?: number; LogPath?: string };
    const isLocal = connectionOf(this.#options.address).socketPath !== undefined;
    return found && { writableBytes: SizeRw, logBytes: isLocal && LogPath !== "" ? logSize(LogPath) : 0 };
  }

  logs(id: string, options: LogOptions): AsyncIterable<OutputChunk> {
    return this.#streams.logs(id, options);
  }

  exec(id: string, request: ExecRequest): Promise<ExecStream> {
    return this.#streams.exec(id, request);
  }

  attach(id: string, request: AttachRequest): Promise<ProcessStream> {
    return this.#streams.attach(id, request);
  }

  connect(id: string, port: number, options?: EngineCallOptions): Promise<PodConnection> {
    return this.#streams.connect(id, port, options);
  }

  runCommand(id: string, command: readonly string[], options: RunOptions): Promise<CommandResult> {
    return this.#streams.runCommand(id, command, options);
  }

  /** Bounds the logs of all containers as well: the engine rotates those of each for itself. */
  watch(onHint: (hint: RuntimeHint) => void): Disposable {
    const { owner, clock, log, logs, boundMs = usualBoundMs } = this.#options;
    const signal = this.#closed.signal;
    const stack = new DisposableStack();
    stack.use(watchEngine({ docker: this.#docker, owner, clock, log, onHint, signal }));
    if (logs?.totalBytes !== undefined) {
      const bound = new LogBound(logs.totalBytes, log);
      stack.use(clock.every(boundMs, () => void this.#boundLogs(bound)));
    }
    return stack;
  }

  /** Never rejects. */
  async #boundLogs(bound: LogBound): Promise<void> {
    try {
      const rootDir = await this.#images.rootDir();
      if (rootDir === undefined) return;
      bound.apply((await this.list()).flatMap(({ id }) => logFilesOf(rootDir, id)));
    } catch (error) {
      this.#options.log.debug("cannot bound the logs of containers", { error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
  }
}
