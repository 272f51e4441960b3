import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { AppError, UnavailableError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import {
  labelNames,
  type AttachRequest,
  type CommandResult,
  type ContainerDetails,
  type ContainerDiskUsage,
  type ContainerRuntime,
  type ContainerResources,
  type ContainerSpec,
  type ContainerSummary,
  type ContainerUsage,
  type EngineCallOptions,
  type EngineInfo,
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
  type RuntimeCode,
  type RuntimeHint,
  type SandboxSpec,
  type StrayContainer,
} from "#edge/runtime";
import { CriCalls } from "#edge/runtime/cri/api";
import { keepLogs, removeLog, type KeptLog, type LogLimits } from "#edge/runtime/cri/logs";
import { CriStreams } from "#edge/runtime/cri/streams";
import { refuseTakenPorts } from "#edge/runtime/pod-network";
import { CgroupUsage, limitProcesses, logSize } from "#edge/runtime/usage";
import {
  containerConfig,
  logDirectory,
  logPath,
  resourcesOf,
  sandboxConfig,
  type ConfigOptions,
} from "./create.ts";
import { CtrImages } from "./ctr.ts";
import { countsSwap, CriEngine } from "./engine.ts";
import { CriImages } from "./images.ts";
import { readContainer, readSandbox, readStats, readStrays, readSummaries, type Listed } from "./read.ts";
import { watchEngine } from "./watch.ts";

interface BoundedLogs extends LogLimits {
  /** Of all containers together; no bound by default. */
  readonly totalBytes?: number | undefined;
}

export interface CriRuntimeOptions {
  /** "unix:///run/containerd/containerd.sock" */
  readonly address: string;
  /** Only containers of this owner are ever seen or touched. */
  readonly owner: string;
  /** Whose containers they are: what `listStrays` compares. Without it there are no strays. */
  readonly node?: string;
  /** Logs are kept in `pods/<uid>/logs` below. */
  readonly dataDir: string;
  /** Those of kubelet by default. */
  readonly logs?: BoundedLogs | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** For calls that the engine answers at once; 30 s by default. */
  readonly callTimeoutMs?: number;
  /** How often logs are looked at; 10 s by default, as kubelet's containerLogMonitorInterval. */
  readonly rotateMs?: number;
}

/** kubelet's runtimeRequestTimeout, and twice that for a sandbox, whose network may take long. */
const workMs = 120_000;
const sandboxMs = 240_000;
/** kubelet's containerLogMaxSize, containerLogMaxFiles and containerLogMonitorInterval. */
const usualLogs: BoundedLogs = { fileBytes: 10 * 1024 * 1024, files: 5 };
const usualRotateMs = 10_000;

/** An engine of the CRI, version 1. Opening does not contact it: calls reject while it cannot be reached. */
export async function openCriRuntime(options: CriRuntimeOptions): Promise<ContainerRuntime> {
  const { address, clock, callTimeoutMs: timeoutMs = 30_000 } = options;
  return new CriRuntime(new CriCalls(address, { clock, timeoutMs }), options);
}

class CriRuntime implements ContainerRuntime {
  readonly #calls: CriCalls;
  readonly #options: CriRuntimeOptions;
  readonly #closed = new AbortController();
  readonly #engine: CriEngine;
  readonly #images: CriImages;
  readonly #streams: CriStreams;
  readonly #ctr: CtrImages | undefined;
  readonly #cgroups = new CgroupUsage();
  readonly #limitsSwap = countsSwap();
  /** Ids of sandboxes at the last list: the CRI asks about them by other calls. */
  #sandboxes = new Set<string>();
  /** Of containers that were created and not started, by id. */
  readonly #processLimits = new Map<string, number>();

  constructor(calls: CriCalls, options: CriRuntimeOptions) {
    const { signal } = this.#closed;
    this.#calls = calls;
    this.#options = options;
    this.#engine = new CriEngine(calls, options.address);
    this.#images = new CriImages(calls, { engine: this.#engine, signal });
    this.#streams = new CriStreams(calls, { clock: options.clock, signal });
    this.#ctr = CtrImages.open({ ...options, calls, engine: this.#engine, signal });
  }

  info(options?: EngineCallOptions): Promise<EngineInfo> {
    return this.#engine.info(options);
  }

  findImage(ref: string): Promise<Image | undefined> {
    return this.#images.findImage(ref);
  }

  async listImages(): Promise<readonly Image[]> {
    // It decides whether there is a store of images, which is asked for next.
    await this.#engine.name();
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

  get imageStore(): ImageStore | undefined {
    return this.#engine.knownName === "containerd" ? this.#ctr : undefined;
  }

  async runSandbox(spec: SandboxSpec): Promise<ContainerDetails> {
    const { podNamespace, podName } = spec.identity;
    const config = sandboxConfig(spec, await this.#configOptions());
    mkdirSync(config.logDirectory, { recursive: true, mode: 0o755 });
    const podSandboxId = await this.#runSandbox(config, spec);
    this.#sandboxes.add(podSandboxId);
    const details = await this.inspect(podSandboxId);
    if (details) return details;
    const pod = `${podNamespace}/${podName}`;
    throw new UnavailableError("sandbox-gone", `Cannot use sandbox of "${pod}": it is gone`);
  }

  async #runSandbox(
    config: ReturnType<typeof sandboxConfig>,
    { runtimeHandler, network }: SandboxSpec,
  ): Promise<string> {
    const what = "run the sandbox of a pod";
    refuseTakenPorts(what, network);
    const request = { config, ...(runtimeHandler !== undefined && { runtimeHandler }) };
    try {
      const answer = await this.#calls.call(what, "RunPodSandbox", request, { timeoutMs: sandboxMs });
      return answer.podSandboxId;
    } catch (error) {
      if (error instanceof AppError && /sandbox image|pause image/.test(error.message))
        throw new AppError(
          "engine-refused" satisfies RuntimeCode,
          `${error.message}; without a registry load it with "edgecore pause-image | ctr -n k8s.io images import -"`,
          { cause: error },
        );
      throw error;
    }
  }

  async stopSandbox(podSandboxId: string): Promise<void> {
    await this.#calls.find("stop a sandbox", "StopPodSandbox", { podSandboxId }, { timeoutMs: workMs });
  }

  async removeSandbox(podSandboxId: string): Promise<void> {
    await this.stopSandbox(podSandboxId);
    await this.#calls.find("remove a sandbox", "RemovePodSandbox", { podSandboxId }, { timeoutMs: workMs });
  }

  async create(spec: ContainerSpec): Promise<string> {
    const { identity, sandbox } = spec;
    // Engines of the CRI make what is missing.
    const missing = spec.mounts.find(({ source }) => !existsSync(source));
    if (missing)
      throw new AppError(
        "engine-refused" satisfies RuntimeCode,
        `Cannot create container "${identity.container}": bind source path does not exist: ${missing.source}`,
      );
    const options = await this.#configOptions();
    const config = containerConfig(spec, options);
    const known = sandboxConfig(sandbox, options);
    mkdirSync(join(known.logDirectory, dirname(config.logPath)), { recursive: true, mode: 0o755 });
    const request = { podSandboxId: identity.sandboxId, config, sandboxConfig: known };
    const what = `create container "${identity.container}"`;
    const { containerId } = await this.#calls.call(what, "CreateContainer", request, { timeoutMs: workMs });
    if (spec.pidsLimit !== undefined) this.#processLimits.set(containerId, spec.pidsLimit);
    return containerId;
  }

  async start(containerId: string): Promise<void> {
    try {
      await this.#calls.call("start container", "StartContainer", { containerId }, { timeoutMs: workMs });
    } catch (error) {
      if (error instanceof UnavailableError || !(await this.#isRunning(containerId))) throw error;
    }
    await this.#limitProcesses(containerId);
  }

  /** The engine makes the control group when it starts the container. */
  async #limitProcesses(id: string): Promise<void> {
    const most = this.#processLimits.get(id);
    this.#processLimits.delete(id);
    if (most === undefined) return;
    const details = await this.inspect(id);
    if (details?.phase !== "running") return;
    try {
      limitProcesses(id, { pid: details.pid, most });
    } catch (error) {
      this.#options.log.warn("cannot limit the processes of a container", { container: id, error });
    }
  }

  async #isRunning(containerId: string): Promise<boolean> {
    const found = await this.#calls.find("inspect container", "ContainerStatus", { containerId });
    return found?.status?.state === "CONTAINER_RUNNING";
  }

  async stop(containerId: string, graceSeconds: number): Promise<void> {
    const request = { containerId, timeout: graceSeconds };
    const timeoutMs = graceSeconds * 1000 + workMs;
    await this.#calls.find("stop container", "StopContainer", request, { timeoutMs });
  }

  async remove(containerId: string): Promise<void> {
    const found = await this.#calls.find("inspect container", "ContainerStatus", { containerId });
    await this.#calls.find("remove container", "RemoveContainer", { containerId }, { timeoutMs: workMs });
    removeLog(found?.status?.logPath ?? "");
    this.#processLimits.delete(containerId);
  }

  async update(containerId: string, resources: ContainerResources): Promise<void> {
    const linux = resourcesOf(resources, { limitsSwap: this.#limitsSwap });
    await this.#calls.call("update container", "UpdateContainerResources", { containerId, linux });
  }

  async list(podUid?: string): Promise<readonly ContainerSummary[]> {
    const labels = { [labelNames.owner]: this.#options.owner };
    const listed = await this.#list(
      podUid === undefined ? labels : { ...labels, [labelNames.podUid]: podUid },
    );
    if (podUid === undefined) this.#sandboxes = new Set(listed.sandboxes.map(({ id }) => id));
    return readSummaries(listed);
  }

  async listStrays(): Promise<readonly StrayContainer[]> {
    const { node, owner } = this.#options;
    return node === undefined ? [] : readStrays(await this.#list(undefined), { node, owner });
  }

  async #list(labelSelector: Readonly<Record<string, string>> | undefined): Promise<Listed> {
    const request = labelSelector ? { filter: { labelSelector } } : {};
    const [{ items: sandboxes }, { containers }] = await Promise.all([
      this.#calls.call("list sandboxes", "ListPodSandbox", request),
      this.#calls.call("list containers", "ListContainers", request),
    ]);
    return { sandboxes, containers };
  }

  async inspect(id: string): Promise<ContainerDetails | undefined> {
    const engine = await this.#engine.name();
    const sandbox = async (): Promise<ContainerDetails | undefined> => {
      const request = { podSandboxId: id, verbose: true };
      const found = await this.#calls.find("inspect sandbox", "PodSandboxStatus", request);
      return found && readSandbox(found, engine, await this.#engine.sandboxImage());
    };
    if (this.#sandboxes.has(id)) return sandbox();
    const found = await this.#calls.find("inspect container", "ContainerStatus", {
      containerId: id,
      verbose: true,
    });
    if (!found) return sandbox();
    // As kubelet: what the engine lost its hold on may run still.
    if (found.status?.state === "CONTAINER_UNKNOWN") await this.stop(id, 0);
    return readContainer(found, engine);
  }

  /** From the files of the kernel: the engine's own answer costs it milliseconds of processor for each container. */
  async usage(id: string): Promise<ContainerUsage | undefined> {
    const known = this.#cgroups.read(id);
    if (known) return known;
    const details = await this.inspect(id);
    if (details?.phase !== "running") return undefined;
    if (this.#cgroups.find(id, details.pid)) return this.#cgroups.read(id);
    const answer = await this.#calls.find("measure container", "ContainerStats", { containerId: id });
    return readStats(answer?.stats ?? null);
  }

  async diskUsage(
    containerId: string,
    options: EngineCallOptions = {},
  ): Promise<ContainerDiskUsage | undefined> {
    const patience = { ...options, timeoutMs: workMs };
    const request = { containerId };
    const [found, measured] = await Promise.all([
      this.#calls.find("inspect container", "ContainerStatus", request, options),
      this.#calls.find("measure container", "ContainerStats", request, patience),
    ]);
    if (!found?.status) return undefined;
    const { logPath: log } = found.status;
    const writableBytes = measured?.stats?.writableLayer?.usedBytes?.value ?? 0;
    return { writableBytes, logBytes: log === "" ? 0 : logSize(log) };
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

  /** Rotates logs as well: engines of the CRI leave that to their caller. */
  watch(onHint: (hint: RuntimeHint) => void): Disposable {
    const { owner, clock, log, rotateMs = usualRotateMs } = this.#options;
    const watch = watchEngine({
      calls: this.#calls,
      owner,
      list: () => this.list(),
      clock,
      log,
      onHint: (hint) => {
        if (hint.kind === "disconnected") this.#engine.forget();
        onHint(hint);
      },
      signal: this.#closed.signal,
    });
    const rotation = this.#keepLogs(rotateMs);
    return {
      [Symbol.dispose]: () => {
        rotation[Symbol.dispose]();
        watch[Symbol.dispose]();
      },
    };
  }

  #keepLogs(everyMs: number): Disposable {
    const { dataDir, clock, log, logs: { totalBytes, ...limits } = usualLogs } = this.#options;
    const list = async (): Promise<KeptLog[]> =>
      (await this.list())
        .filter(({ identity }) => identity.role !== "sandbox")
        .map(({ id, identity, phase }) => ({
          id,
          path: join(logDirectory(dataDir, identity), logPath(identity)),
          isRunning: phase === "running",
        }));
    const reopen = async (containerId: string): Promise<void> => {
      await this.#calls.call("rotate a log", "ReopenContainerLog", { containerId });
    };
    return keepLogs({ totalBytes, limits, everyMs, clock, log, list, reopen });
  }

  async #configOptions(): Promise<ConfigOptions> {
    const { owner, dataDir } = this.#options;
    const { cgroupParent } = await this.#engine.settings();
    return { owner, dataDir, cgroupParent, limitsSwap: this.#limitsSwap };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#calls[Symbol.dispose]();
  }
}
