import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import type {
  AttachRequest,
  CommandResult,
  ContainerDetails,
  ContainerDiskUsage,
  ContainerRuntime,
  ContainerResources,
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
  ProcessStream,
  PullOptions,
  RunOptions,
  RuntimeHint,
  SandboxSpec,
  StrayContainer,
} from "#edge/runtime";

/** Of a machine on which no engine was found yet; one that is away has other codes. */
export const noEngineCode = "no-engine";

/** An engine is installed or started by somebody: nobody notices two seconds. */
const lookMs = 2000;

/** The runtime of an engine that is not there yet: calls reject until it is found. */
export class AwaitedRuntime implements ContainerRuntime {
  readonly #find: () => Promise<ContainerRuntime | undefined>;
  readonly #clock: Pick<Clock, "sleep" | "monotonicMs">;
  readonly #closed = new AbortController();
  #found: ContainerRuntime | undefined;
  #looking: Promise<void> | undefined;
  #lookedAtMs = -Infinity;

  constructor(
    find: () => Promise<ContainerRuntime | undefined>,
    clock: Pick<Clock, "sleep" | "monotonicMs">,
  ) {
    this.#find = find;
    this.#clock = clock;
  }

  async info(options?: EngineCallOptions): Promise<EngineInfo> {
    return (await this.#engine()).info(options);
  }

  async list(podUid?: string): Promise<readonly ContainerSummary[]> {
    return (await this.#engine()).list(podUid);
  }

  async listStrays(): Promise<readonly StrayContainer[]> {
    return (await this.#engine()).listStrays();
  }

  async inspect(id: string): Promise<ContainerDetails | undefined> {
    return (await this.#engine()).inspect(id);
  }

  watch(onHint: (hint: RuntimeHint) => void): Disposable {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#closed.signal]);
    let inner: Disposable | undefined;
    const follow = async (): Promise<void> => {
      while (!this.#found && !signal.aborted) {
        await this.#look();
        if (!this.#found) await this.#clock.sleep(lookMs, { signal });
      }
      if (!signal.aborted) inner = this.#found?.watch(onHint);
    };
    // It fails when it is disposed of.
    follow().catch(() => undefined);
    return {
      [Symbol.dispose]: () => {
        stop.abort();
        inner?.[Symbol.dispose]();
      },
    };
  }

  async runSandbox(spec: SandboxSpec): Promise<ContainerDetails> {
    return (await this.#engine()).runSandbox(spec);
  }

  async stopSandbox(id: string): Promise<void> {
    return (await this.#engine()).stopSandbox(id);
  }

  async removeSandbox(id: string): Promise<void> {
    return (await this.#engine()).removeSandbox(id);
  }

  async create(spec: ContainerSpec): Promise<string> {
    return (await this.#engine()).create(spec);
  }

  async start(id: string): Promise<void> {
    return (await this.#engine()).start(id);
  }

  async stop(id: string, graceSeconds: number): Promise<void> {
    return (await this.#engine()).stop(id, graceSeconds);
  }

  async remove(id: string): Promise<void> {
    return (await this.#engine()).remove(id);
  }

  async update(id: string, resources: ContainerResources): Promise<void> {
    return (await this.#engine()).update(id, resources);
  }

  async usage(id: string): Promise<ContainerUsage | undefined> {
    return (await this.#engine()).usage(id);
  }

  async diskUsage(id: string, options?: EngineCallOptions): Promise<ContainerDiskUsage | undefined> {
    return (await this.#engine()).diskUsage(id, options);
  }

  async findImage(ref: string): Promise<Image | undefined> {
    return (await this.#engine()).findImage(ref);
  }

  async listImages(): Promise<readonly Image[]> {
    return (await this.#engine()).listImages();
  }

  async pullImage(ref: string, options: PullOptions): Promise<void> {
    return (await this.#engine()).pullImage(ref, options);
  }

  async removeImage(id: string): Promise<void> {
    return (await this.#engine()).removeImage(id);
  }

  async imageFs(): Promise<FileSystemUsage | undefined> {
    return (await this.#engine()).imageFs();
  }

  async usedImages(): Promise<ReadonlySet<string>> {
    return (await this.#engine()).usedImages();
  }

  get imageStore(): ImageStore | undefined {
    return this.#found?.imageStore;
  }

  async *logs(id: string, options: LogOptions): AsyncGenerator<OutputChunk> {
    yield* (await this.#engine()).logs(id, options);
  }

  async exec(id: string, request: ExecRequest): Promise<ExecStream> {
    return (await this.#engine()).exec(id, request);
  }

  async attach(id: string, request: AttachRequest): Promise<ProcessStream> {
    return (await this.#engine()).attach(id, request);
  }

  async connect(sandboxId: string, port: number, options?: EngineCallOptions): Promise<PodConnection> {
    return (await this.#engine()).connect(sandboxId, port, options);
  }

  async runCommand(id: string, command: readonly string[], options: RunOptions): Promise<CommandResult> {
    return (await this.#engine()).runCommand(id, command, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await this.#looking;
    await this.#found?.[Symbol.asyncDispose]();
  }

  async #engine(): Promise<ContainerRuntime> {
    if (!this.#found && this.#clock.monotonicMs() - this.#lookedAtMs >= lookMs) await this.#look();
    if (this.#found) return this.#found;
    throw new UnavailableError(noEngineCode, "no container engine found on this machine");
  }

  /** Never rejects. */
  #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #lookOnce(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    try {
      this.#found ??= await this.#find();
    } catch {
      // Such as a disk that is full: it is looked for again.
    }
    this.#lookedAtMs = this.#clock.monotonicMs();
  }
}
