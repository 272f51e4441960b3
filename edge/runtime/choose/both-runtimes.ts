import { UnavailableError } from "#shared/errors";
import type {
  AttachRequest,
  CommandResult,
  ContainerDetails,
  ContainerDiskUsage,
  ContainerResources,
  ContainerRuntime,
  ContainerSpec,
  ContainerSummary,
  ContainerUsage,
  EngineCallOptions,
  EngineInfo,
  ExecRequest,
  ExecStream,
  FileSystemUsage,
  Image,
  ImageStore,
  LogOptions,
  OutputChunk,
  PodConnection,
  PodProcesses,
  ProcessStream,
  PullOptions,
  RunOptions,
  RuntimeHint,
  SandboxSpec,
  StrayContainer,
} from "#edge/runtime";
import { isProcessId } from "#edge/runtime/process";
import { noEngineCode } from "./awaited-runtime.ts";

/**
 * An engine and what runs programs of this machine, as one: ids say whose a container is. On a machine without any engine it answers
 * for the programs alone; while an engine that this node uses is away it rejects, as the engine's runtime does.
 */
export class BothRuntimes implements ContainerRuntime {
  readonly kinds: { readonly processes: PodProcesses; readonly engine: ContainerRuntime };

  constructor(engine: ContainerRuntime, processes: PodProcesses) {
    this.kinds = { processes, engine };
  }

  info(options?: EngineCallOptions): Promise<EngineInfo> {
    const { engine, processes } = this.kinds;
    return orWithout(engine.info(options), () => processes.info(options));
  }

  async list(podUid?: string): Promise<readonly ContainerSummary[]> {
    const { engine, processes } = this.kinds;
    return [...(await processes.list(podUid)), ...(await orWithout(engine.list(podUid), async () => []))];
  }

  listStrays(): Promise<readonly StrayContainer[]> {
    return orWithout(this.kinds.engine.listStrays(), async () => []);
  }

  inspect(id: string): Promise<ContainerDetails | undefined> {
    return this.#of(id).inspect(id);
  }

  watch(onHint: (hint: RuntimeHint) => void): Disposable {
    const { engine, processes } = this.kinds;
    const watches = new DisposableStack();
    watches.use(engine.watch(onHint));
    watches.use(processes.watch(onHint));
    return watches;
  }

  /** Pods are run by either of `kinds`. */
  runSandbox(spec: SandboxSpec): Promise<ContainerDetails> {
    return this.kinds.engine.runSandbox(spec);
  }

  stopSandbox(id: string): Promise<void> {
    return this.#of(id).stopSandbox(id);
  }

  removeSandbox(id: string): Promise<void> {
    return this.#of(id).removeSandbox(id);
  }

  create(spec: ContainerSpec): Promise<string> {
    return this.#of(spec.identity.sandboxId).create(spec);
  }

  start(id: string): Promise<void> {
    return this.#of(id).start(id);
  }

  stop(id: string, graceSeconds: number): Promise<void> {
    return this.#of(id).stop(id, graceSeconds);
  }

  remove(id: string): Promise<void> {
    return this.#of(id).remove(id);
  }

  update(id: string, resources: ContainerResources): Promise<void> {
    return this.#of(id).update(id, resources);
  }

  usage(id: string): Promise<ContainerUsage | undefined> {
    return this.#of(id).usage(id);
  }

  diskUsage(id: string, options?: EngineCallOptions): Promise<ContainerDiskUsage | undefined> {
    return this.#of(id).diskUsage(id, options);
  }

  findImage(ref: string): Promise<Image | undefined> {
    return this.kinds.engine.findImage(ref);
  }

  listImages(): Promise<readonly Image[]> {
    return orWithout(this.kinds.engine.listImages(), async () => []);
  }

  pullImage(ref: string, options: PullOptions): Promise<void> {
    return this.kinds.engine.pullImage(ref, options);
  }

  removeImage(id: string): Promise<void> {
    return this.kinds.engine.removeImage(id);
  }

  imageFs(): Promise<FileSystemUsage | undefined> {
    return orWithout(this.kinds.engine.imageFs(), async () => undefined);
  }

  usedImages(): Promise<ReadonlySet<string>> {
    return orWithout(this.kinds.engine.usedImages(), async () => new Set<string>());
  }

  get imageStore(): ImageStore | undefined {
    return this.kinds.engine.imageStore;
  }

  logs(id: string, options: LogOptions): AsyncIterable<OutputChunk> {
    return this.#of(id).logs(id, options);
  }

  exec(id: string, request: ExecRequest): Promise<ExecStream> {
    return this.#of(id).exec(id, request);
  }

  attach(id: string, request: AttachRequest): Promise<ProcessStream> {
    return this.#of(id).attach(id, request);
  }

  connect(sandboxId: string, port: number, options?: EngineCallOptions): Promise<PodConnection> {
    return this.#of(sandboxId).connect(sandboxId, port, options);
  }

  runCommand(id: string, command: readonly string[], options: RunOptions): Promise<CommandResult> {
    return this.#of(id).runCommand(id, command, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { engine, processes } = this.kinds;
    await processes[Symbol.asyncDispose]();
    await engine[Symbol.asyncDispose]();
  }

  #of(id: string): ContainerRuntime {
    return isProcessId(id) ? this.kinds.processes : this.kinds.engine;
  }
}

async function orWithout<T>(work: Promise<T>, without: () => Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof UnavailableError && error.code === noEngineCode) return without();
    throw error;
  }
}
