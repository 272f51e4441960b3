import { randomBytes } from "node:crypto";
import { mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onNextMicrotask, type Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import type { Logger } from "#shared/log";
import {
  readResult,
  type AttachRequest,
  type CommandResult,
  type ContainerDetails,
  type ContainerDiskUsage,
  type ContainerIdentity,
  type ContainerResources,
  type ContainerSpec,
  type ContainerSummary,
  type ContainerUsage,
  type EngineInfo,
  type ExecRequest,
  type ExecStream,
  type LogOptions,
  type OutputChunk,
  type PodConnection,
  type PodProcesses,
  type ProcessStream,
  type RunOptions,
  type RuntimeCode,
  type RuntimeHint,
  type SandboxSpec,
} from "#edge/runtime";
import { readLog, removeLog, type LogLimits } from "#edge/runtime/cri/logs";
import { PodConnector } from "#edge/runtime/pod-network";
import { CgroupUsage, logSize } from "#edge/runtime/usage";
import { findTools, needTools, type Tools } from "#edge/runtime/process/script";
import { ProcessCgroups } from "./cgroups.ts";
import { ProcessContainer } from "./container.ts";
import { readBootId } from "./identity.ts";
import { findProgram, usualPath, type ProcessUsers } from "#edge/runtime/process/allowed";
import { newId, ProcessRecords, type ContainerRecord } from "./records.ts";
import { planStart } from "./plan.ts";
import { ProcessSandboxes } from "./sandboxes.ts";
import { attachedTo, runBeside } from "./streams.ts";

/** `edged.processes` of the config file. */
export interface ProcessesConfig extends ProcessUsers {
  /** Directories and files of programs that pods may start. */
  readonly programs: readonly string[];
}

export interface ProcessRuntimeOptions {
  readonly config: ProcessesConfig;
  readonly owner: string;
  readonly dataDir: string;
  readonly logs: LogLimits;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How often programs are looked at whose end nobody told. */
const lookMs = 5000;

/** Runs programs of this machine as the containers of pods; what runs is kept in `<data directory>/processes`. */
export function openProcessRuntime(options: ProcessRuntimeOptions): PodProcesses {
  return new ProcessRuntime(options);
}

class ProcessRuntime implements PodProcesses {
  readonly #options: ProcessRuntimeOptions;
  readonly #dataDir: string;
  readonly #records: ProcessRecords;
  readonly #cgroups: ProcessCgroups;
  readonly #usage = new CgroupUsage();
  readonly #connector = new PodConnector();
  readonly #bootId = readBootId();
  readonly #tools: Tools | string = findTools();
  readonly #closed = new AbortController();
  readonly #sandboxes: ProcessSandboxes;
  readonly #containers = new Map<string, ProcessContainer>();
  readonly #watchers = new Set<(hint: RuntimeHint) => void>();
  readonly #timer: Disposable;

  constructor(options: ProcessRuntimeOptions) {
    const { dataDir, owner, clock } = options;
    mkdirSync(dataDir, { recursive: true });
    // What is mounted is known by its real path.
    this.#dataDir = realpathSync(dataDir);
    this.#options = options;
    this.#records = new ProcessRecords(join(this.#dataDir, "processes"));
    this.#cgroups = new ProcessCgroups(owner);
    const known = this.#records.load();
    const sandboxes = known.filter((one) => one.kind === "sandbox");
    const [records, bootId] = [this.#records, this.#bootId];
    this.#sandboxes = new ProcessSandboxes(sandboxes, { records, bootId, ...options });
    for (const record of known)
      if (record.kind === "container") this.#containers.set(record.id, this.#containerOf(record));
    for (const container of this.#containers.values()) container.adopt();
    void this.#cgroups.sweep(new Set(this.#containers.keys()), clock);
    this.#timer = clock.every(lookMs, () => {
      for (const container of this.#containers.values()) container.look();
    });
  }

  async info(): Promise<EngineInfo> {
    const problem = this.#tools;
    return { name: "process", version: "1", ...(typeof problem === "string" && { problem }) };
  }

  async list(podUid?: string): Promise<readonly ContainerSummary[]> {
    const isWanted = ({ identity }: Pick<ContainerSummary, "identity">): boolean =>
      podUid === undefined || identity.podUid === podUid;
    // The phase is read from files.
    const containers = [...this.#containers.values()]
      .filter(({ record }) => isWanted(record))
      .map(({ id, record, phase }): ContainerSummary => ({ id, identity: record.identity, phase }));
    return [...this.#sandboxes.list().filter(isWanted), ...containers];
  }

  async listStrays(): Promise<readonly never[]> {
    return [];
  }

  async inspect(id: string): Promise<ContainerDetails | undefined> {
    return this.#sandboxes.find(id) ?? this.#containers.get(id)?.details();
  }

  watch(onHint: (hint: RuntimeHint) => void): Disposable {
    this.#watchers.add(onHint);
    onNextMicrotask(() => {
      if (this.#watchers.has(onHint)) onHint({ kind: "connected" });
    });
    return { [Symbol.dispose]: () => void this.#watchers.delete(onHint) };
  }

  async runSandbox({ identity, network }: SandboxSpec): Promise<ContainerDetails> {
    if (network.kind !== "host")
      throw refused(
        `Cannot run pod "${identity.podName}": processes have the network of the node (hostNetwork)`,
      );
    needTools(this.#tools);
    const details = this.#sandboxes.add(identity);
    this.#hint(details, "start");
    return details;
  }

  async stopSandbox(id: string): Promise<void> {
    const stopped = this.#sandboxes.stop(id);
    if (stopped) this.#hint(stopped, "die");
  }

  async removeSandbox(id: string): Promise<void> {
    const removed = this.#sandboxes.remove(id);
    if (removed) this.#hint(removed, "destroy");
  }

  async create(spec: ContainerSpec): Promise<string> {
    const { identity, image } = spec;
    const tools = needTools(this.#tools);
    const { container, attempt, podUid, sandboxId } = identity;
    const twin = [...this.#containers.values()].find(
      ({ record: { identity: other } }) =>
        other.podUid === podUid && other.container === container && other.attempt === attempt,
    );
    if (twin)
      throw new AppError(
        "container-conflict" satisfies RuntimeCode,
        `Cannot create container "${container}": there is one of this name and attempt`,
      );
    const own = this.#sandboxes.ownOf(sandboxId);
    if (own === undefined) throw refused(`Cannot create container "${container}": its sandbox is gone`);
    const { config, clock } = this.#options;
    const dataDir = this.#dataDir;
    const id = newId();
    const dir = this.#records.directory(id);
    const endMark = randomBytes(20).toString("hex");
    const facts = { dir, own, config, dataDir, bootId: this.#bootId, endMark, tools };
    const planned = planStart(spec, {
      ...facts,
      joins: this.#cgroups.joins(id),
      supervisorJoins: this.#cgroups.supervisorJoins(),
    });
    const { cpuShares, nanoCpus, memoryBytes, pidsLimit } = spec;
    const record: ContainerRecord = {
      kind: "container",
      id,
      identity,
      createdAtMs: clock.nowMs(),
      bootId: this.#bootId,
      image,
      program: planned.start.argv[0] ?? "",
      start: planned.start,
      limits: {
        ...(cpuShares !== undefined && { cpuShares }),
        ...(nanoCpus !== undefined && { nanoCpus }),
        ...(memoryBytes !== undefined && { memoryBytes }),
        ...(pidsLimit !== undefined && { pidsLimit }),
      },
      endMark,
      logPath: join(dataDir, "pods", podUid, "logs", container, `${attempt}.log`),
    };
    this.#records.add(record, (made) => {
      mkdirSync(join(made, "root"), { mode: 0o700 });
      writeFileSync(join(made, "run"), planned.script, { mode: 0o600 });
      writeFileSync(join(made, "exit"), "---\n", { mode: 0o600 });
    });
    this.#containers.set(id, this.#containerOf(record));
    return id;
  }

  async start(id: string): Promise<void> {
    await this.#find(id).start(needTools(this.#tools));
  }

  async stop(id: string, graceSeconds: number): Promise<void> {
    await this.#containers.get(id)?.stop(graceSeconds);
  }

  async remove(id: string): Promise<void> {
    const container = this.#containers.get(id);
    if (!container) return;
    await container.remove();
    this.#containers.delete(id);
    this.#records.remove(id);
    removeLog(container.record.logPath);
    this.#hint(container.record, "destroy");
  }

  async update(id: string, resources: ContainerResources): Promise<void> {
    this.#cgroups.update(id, this.#find(id).record.identity.container, resources);
  }

  async usage(id: string): Promise<ContainerUsage | undefined> {
    const pid = this.#containers.get(id)?.program?.pid;
    if (pid === undefined) return undefined;
    return this.#usage.read(id) ?? (this.#usage.find(id, pid) ? this.#usage.read(id) : undefined);
  }

  async diskUsage(id: string): Promise<ContainerDiskUsage | undefined> {
    const found = this.#containers.get(id);
    return found && { writableBytes: 0, logBytes: logSize(found.record.logPath) };
  }

  async *logs(id: string, options: LogOptions): AsyncGenerator<OutputChunk> {
    const container = this.#find(id);
    const { clock } = this.#options;
    const isOver = async (): Promise<boolean> => {
      await container.written();
      return container.phase === "exited" || !this.#containers.has(id);
    };
    await container.written();
    const signal = this.#either(options.signal);
    yield* readLog({ path: container.record.logPath, isOver, clock, signal }, options);
  }

  async exec(id: string, request: ExecRequest): Promise<ExecStream> {
    const container = this.#find(id);
    const { program, record } = container;
    if (program === undefined)
      throw refused(`Cannot run a command in container "${record.identity.container}": it does not run`);
    const { env } = record.start;
    const path = env.findLast((one) => one.startsWith("PATH="))?.slice("PATH=".length) ?? usualPath;
    const [name = "", ...args] = request.command;
    const found = findProgram(name, this.#options.config.programs, path);
    if (!found.ok)
      throw refused(`Cannot run a command in container "${record.identity.container}": ${found.reason}`);
    const tools = needTools(this.#tools);
    const joins = this.#cgroups.joins(id);
    const signal = this.#either(request.signal);
    return runBeside(
      { ...record.start, argv: [found.path, ...args], joins, program, tools },
      { ...request, signal },
    );
  }

  async attach(id: string, { stdin, signal }: AttachRequest): Promise<ProcessStream> {
    if (stdin) throw new AppError("no-stdin", "Cannot attach to the input of a process: it has none");
    const options = { follow: true, tailLines: 0, ...(signal && { signal }) };
    return attachedTo(this.logs(id, options));
  }

  async connect(
    id: string,
    port: number,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<PodConnection> {
    if (this.#sandboxes.find(id)?.phase !== "running")
      throw new AppError(
        "connect-failed" satisfies RuntimeCode,
        `Cannot connect to port ${port} of the pod: it does not run`,
      );
    const { clock } = this.#options;
    const place = { namespace: undefined, address: "127.0.0.1", port };
    return this.#connector.connect(place, { clock, signal: this.#either(options.signal) });
  }

  async runCommand(id: string, command: readonly string[], options: RunOptions): Promise<CommandResult> {
    const { signal } = options;
    await using process = await this.exec(id, { command, tty: false, stdin: false, signal });
    return await readResult(process, options);
  }

  holds(podUid: string): boolean {
    return this.#sandboxes.list().some(({ identity }) => identity.podUid === podUid);
  }

  userFor(podUid: string): string {
    const own = this.#sandboxes.userFor(podUid);
    return `${own}:${own}`;
  }

  async findImage(): Promise<undefined> {
    return undefined;
  }

  async listImages(): Promise<readonly never[]> {
    return [];
  }

  async pullImage(ref: string): Promise<void> {
    throw new AppError(
      "image-pull" satisfies RuntimeCode,
      `Cannot pull image "${ref}": programs are not pulled`,
    );
  }

  async removeImage(): Promise<void> {}

  async imageFs(): Promise<undefined> {
    return undefined;
  }

  async usedImages(): Promise<ReadonlySet<string>> {
    return new Set();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#timer[Symbol.dispose]();
    this.#watchers.clear();
    for (const container of this.#containers.values()) container[Symbol.dispose]();
  }

  #containerOf(record: ContainerRecord): ProcessContainer {
    const { logs: limits, clock, log } = this.#options;
    return new ProcessContainer(record, {
      dir: this.#records.directory(record.id),
      cgroups: this.#cgroups,
      bootId: this.#bootId,
      limits,
      clock,
      log,
      signal: this.#closed.signal,
      onChange: (action) => this.#hint(record, action),
    });
  }

  #find(id: string): ProcessContainer {
    const found = this.#containers.get(id);
    if (found) return found;
    throw new AppError("container-not-found" satisfies RuntimeCode, `There is no container ${id}`);
  }

  #hint(
    { id, identity }: { readonly id: string; readonly identity: ContainerIdentity },
    action: string,
  ): void {
    for (const onHint of this.#watchers) onHint({ kind: "container", id, podUid: identity.podUid, action });
  }

  #either(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#closed.signal]) : this.#closed.signal;
  }
}

function refused(message: string): AppError {
  return new AppError("engine-refused" satisfies RuntimeCode, message);
}
