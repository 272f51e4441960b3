import { AppError, UnavailableError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import type {
  ContainerDetails,
  ContainerRuntime,
  ContainerResources,
  ContainerSpec,
  ContainerSummary,
  EngineInfo,
  CommandResult,
  ContainerDiskUsage,
  ContainerIdentity,
  ContainerUsage,
  ExecRequest,
  ExecStream,
  FileSystemUsage,
  Image,
  ImageStore,
  OutputChunk,
  PodConnection,
  ProcessStream,
  PullOptions,
  RuntimeHint,
  SandboxSpec,
  StrayContainer,
} from "#edge/runtime";

interface Held {
  readonly spec: ContainerSpec | SandboxSpec;
  details: ContainerDetails;
}

interface PullRequest extends Pick<PullOptions, "auth" | "signal" | "onProgress" | "idleMs"> {
  readonly ref: string;
}

/** A container engine in memory. Containers run until `exit` is called; `unreachable` makes every call fail. */
export class FakeRuntime implements ContainerRuntime {
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #held = new Map<string, Held>();
  readonly #watchers = new Set<(hint: RuntimeHint) => void>();
  readonly images = new Map<string, Image>();
  /** What `pullImage` can find. */
  readonly registry = new Set<string>();
  /** Every pull that was asked for, with what it was authenticated by. */
  readonly pulls: Pick<PullRequest, "ref" | "auth">[] = [];
  /** Called within each pull, which waits for it and fails with it. */
  onPull: ((pull: PullRequest) => Promise<void>) | undefined;
  /** Capacity of the disk images are on; images are all that takes room there. */
  imageDisk: number | undefined;
  /** Ids of images that containers of others are made from. */
  readonly usedByOthers = new Set<string>();
  /** Results of commands, by their first word. */
  readonly commands = new Map<string, CommandResult>();
  /** What containers have written, by id. */
  readonly written = new Map<string, string>();
  /** `create` refuses with this text when set. */
  refuseCreate: string | undefined;
  refuseStart: string | undefined;
  strays: StrayContainer[] = [];
  /** What containers have used, by id. */
  readonly used = new Map<string, ContainerUsage>();
  /** What containers take of the disk, by id. */
  readonly onDisk = new Map<string, ContainerDiskUsage>();
  /** Called when a container that runs is stopped. */
  onStop: ((identity: ContainerIdentity, graceSeconds: number) => void) | undefined;
  onRemove: (() => void) | undefined;
  calls = 0;
  #unreachable = false;
  #next = 1;

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#clock = clock;
  }

  get unreachable(): boolean {
    return this.#unreachable;
  }

  set unreachable(unreachable: boolean) {
    this.#unreachable = unreachable;
    this.#deliver({ kind: unreachable ? "disconnected" : "connected" });
  }

  specs(): (ContainerSpec | SandboxSpec)[] {
    return [...this.#held.values()].map((one) => one.spec);
  }

  /** In the order of `specs`. */
  ids(): string[] {
    return [...this.#held.keys()];
  }

  /** Ends a container as if its process had exited. */
  exit(id: string, exitCode: number): void {
    this.#end(id, exitCode);
  }

  async info(): Promise<EngineInfo> {
    this.#enter();
    return { name: "fake", version: "1" };
  }

  async findImage(ref: string): Promise<Image | undefined> {
    this.#enter();
    return this.images.get(ref);
  }

  async listImages(): Promise<readonly Image[]> {
    this.#enter();
    return [...this.images.values()];
  }

  async pullImage(ref: string, { auth, signal, onProgress }: PullOptions = {}): Promise<void> {
    this.#enter();
    this.pulls.push({ ref, auth });
    await this.onPull?.({ ref, auth, signal, onProgress });
    signal?.throwIfAborted();
    if (!this.registry.has(ref)) throw new AppError("image-pull", `${ref}: not found`);
    this.addImage(ref);
  }

  addImage(ref: string, sizeBytes = 1): void {
    this.images.set(ref, { id: `sha256:${ref}`, names: [ref], sizeBytes, pinned: ref === "pause:1" });
  }

  async removeImage(id: string): Promise<void> {
    this.#enter();
    if ((await this.usedImages()).has(id)) throw new AppError("image-in-use", `Cannot remove image "${id}"`);
    for (const [ref, image] of this.images) if (image.id === id) this.images.delete(ref);
  }

  async imageFs(): Promise<FileSystemUsage | undefined> {
    this.#enter();
    if (this.imageDisk === undefined) return undefined;
    const sizes = new Map([...this.images.values()].map((one) => [one.id, one.sizeBytes]));
    const used = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
    return { capacityBytes: this.imageDisk, availableBytes: Math.max(0, this.imageDisk - used) };
  }

  async usedImages(): Promise<ReadonlySet<string>> {
    this.#enter();
    return new Set(
      [...this.#held.values()].map(({ details }) => details.imageId).concat(...this.usedByOthers),
    );
  }

  get imageStore(): ImageStore {
    return {
      tag: async (ref, name) => {
        this.#enter();
        const image = this.images.get(ref);
        if (!image) throw new AppError("image-not-found", `No such image: ${ref}`);
        this.images.set(name, image);
      },
      untag: async (name) => {
        this.#enter();
        this.images.delete(name);
      },
      load: async (archive) => {
        this.#enter();
        const text = Buffer.concat(await Array.fromAsync(archive)).toString();
        const names = text.split("\n").filter(Boolean);
        if (!text.endsWith("\n")) throw new AppError("engine-refused", "Cannot load images: unexpected EOF");
        for (const name of names) this.addImage(name);
        return names;
      },
    };
  }

  async runSandbox(spec: SandboxSpec): Promise<ContainerDetails> {
    this.#enter();
    this.addImage("pause:1");
    const ips = spec.network.kind === "own" ? [`10.0.0.${this.#next + 1}`] : [];
    const id = this.#hold(spec, { image: "pause:1", imageId: "sha256:pause:1", ips });
    this.#begin(this.#require(id));
    return this.#require(id).details;
  }

  async stopSandbox(id: string): Promise<void> {
    await this.stop(id);
  }

  async removeSandbox(id: string): Promise<void> {
    await this.remove(id);
  }

  async create(spec: ContainerSpec): Promise<string> {
    this.#enter();
    const image = this.images.get(spec.image);
    if (!image)
      throw new AppError("image-not-found", `Cannot create container: No such image: ${spec.image}`);
    return this.#hold(spec, { image: spec.image, imageId: image.id, ips: [] });
  }

  #hold(
    spec: ContainerSpec | SandboxSpec,
    known: Pick<ContainerDetails, "image" | "imageId" | "ips">,
  ): string {
    if (this.refuseCreate !== undefined) throw new AppError("engine-refused", this.refuseCreate);
    const same = [...this.#held.values()].some(({ spec: other }) => isSame(other, spec));
    if (same) throw new AppError("container-conflict", "Cannot create container: the name is in use");
    const id = `c${this.#next}`;
    this.#next += 1;
    const details: ContainerDetails = {
      id,
      uri: `docker://${id}`,
      imageRef: `docker://${known.imageId}`,
      identity: spec.identity,
      phase: "created",
      pid: 0,
      startedAtMs: undefined,
      finishedAtMs: undefined,
      exitCode: 0,
      oomKilled: false,
      error: "",
      ...known,
    };
    this.#held.set(id, { spec, details });
    return id;
  }

  async usage(id: string): Promise<ContainerUsage | undefined> {
    this.#enter();
    return this.used.get(id);
  }

  async diskUsage(id: string): Promise<ContainerDiskUsage | undefined> {
    this.#enter();
    return this.#held.has(id) ? (this.onDisk.get(id) ?? { writableBytes: 0, logBytes: 0 }) : undefined;
  }

  /** What `update` gave, in the order of its calls. */
  readonly updates: ContainerResources[] = [];
  refuseUpdate: string | undefined;

  async update(id: string, resources: ContainerResources): Promise<void> {
    this.#enter();
    this.#require(id);
    if (this.refuseUpdate !== undefined) throw new AppError("engine-refused", this.refuseUpdate);
    this.updates.push(resources);
  }

  async start(id: string): Promise<void> {
    this.#enter();
    this.#begin(this.#require(id));
  }

  #begin(held: Held): void {
    if (this.refuseStart !== undefined) throw new AppError("engine-refused", this.refuseStart);
    if (held.details.phase === "running") return;
    held.details = { ...held.details, phase: "running", startedAtMs: this.#clock.nowMs() };
    this.#hint(held, "start");
  }

  async stop(id: string, graceSeconds = 0): Promise<void> {
    this.#enter();
    const held = this.#held.get(id);
    if (held?.details.phase === "running") this.onStop?.(held.details.identity, graceSeconds);
    if (this.#held.get(id)?.details.phase === "running") this.#end(id, 137);
  }

  async remove(id: string): Promise<void> {
    this.#enter();
    const held = this.#held.get(id);
    this.#held.delete(id);
    this.onRemove?.();
    if (held) this.#hint(held, "destroy");
  }

  async list(podUid?: string): Promise<readonly ContainerSummary[]> {
    this.#enter();
    const all = [...this.#held.values()].map(({ details }) => details);
    return all
      .filter(({ identity }) => podUid === undefined || identity.podUid === podUid)
      .map(({ id, identity, phase }) => ({ id, identity, phase }));
  }

  async listStrays(): Promise<readonly StrayContainer[]> {
    this.#enter();
    return this.strays;
  }

  async inspect(id: string): Promise<ContainerDetails | undefined> {
    this.#enter();
    return this.#held.get(id)?.details;
  }

  async runCommand(id: string, command: readonly string[]): Promise<CommandResult> {
    this.#enter();
    this.#require(id);
    return this.commands.get(command[0] ?? "") ?? { exitCode: 0, output: "" };
  }

  async exec(id: string, { command }: ExecRequest): Promise<ExecStream> {
    const { exitCode, output } = await this.runCommand(id, command);
    return { ...process(chunkOf(output)), exitCode: async () => exitCode };
  }

  async attach(id: string): Promise<ProcessStream> {
    this.#enter();
    return process(chunkOf(this.written.get(this.#require(id).details.id) ?? ""));
  }

  async *logs(id: string): AsyncGenerator<OutputChunk> {
    this.#enter();
    yield* chunkOf(this.written.get(this.#require(id).details.id) ?? "");
  }

  async connect(): Promise<PodConnection> {
    this.#enter();
    throw new AppError("connect-failed", "pods here have no servers");
  }

  watch(onHint: (hint: RuntimeHint) => void): Disposable {
    this.#watchers.add(onHint);
    if (!this.#unreachable) queueMicrotask(() => onHint({ kind: "connected" }));
    return { [Symbol.dispose]: () => void this.#watchers.delete(onHint) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watchers.clear();
  }

  #enter(): void {
    this.calls += 1;
    if (this.#unreachable) throw new UnavailableError("engine-away", "the container engine does not answer");
  }

  #require(id: string): Held {
    const held = this.#held.get(id);
    if (!held) throw new AppError("container-not-found", `Cannot find container ${id}`);
    return held;
  }

  #end(id: string, exitCode: number): void {
    const held = this.#require(id);
    held.details = { ...held.details, phase: "exited", exitCode, finishedAtMs: this.#clock.nowMs(), ips: [] };
    this.#hint(held, "die");
  }

  #hint({ details }: Held, action: string): void {
    this.#deliver({ kind: "container", id: details.id, podUid: details.identity.podUid, action });
  }

  #deliver(hint: RuntimeHint): void {
    for (const onHint of this.#watchers) onHint(hint);
  }
}

function isSame(a: ContainerSpec | SandboxSpec, b: ContainerSpec | SandboxSpec): boolean {
  const key = ({ identity }: Pick<ContainerSpec, "identity">): string =>
    [identity.podUid, identity.container, identity.attempt].join(" ");
  return key(a) === key(b);
}

async function* chunkOf(text: string): AsyncGenerator<OutputChunk> {
  if (text !== "") yield { stream: "stdout", bytes: new TextEncoder().encode(text) };
}

/** A process that has written what it had to and takes any input. */
function process(output: AsyncIterable<OutputChunk>): ProcessStream {
  const nothing = async (): Promise<void> => undefined;
  return { output, write: nothing, closeInput: nothing, resize: nothing, [Symbol.asyncDispose]: nothing };
}
