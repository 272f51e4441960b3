import { chownSync, closeSync, constants, openSync, statSync, watch, writeSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { ContainerDetails, ContainerPhase, RuntimeCode } from "#edge/runtime";
import type { LogLimits } from "#edge/runtime/cri/logs";
import type { ProcessCgroups } from "./cgroups.ts";
import { isAlive, parseIdentity, signalProcess, type ProcessIdentity } from "./identity.ts";
import { LogPump, LogWriter } from "#edge/runtime/process/log";
import { readText, type ContainerRecord } from "./records.ts";
import { fileNames, systemPath, type Tools } from "#edge/runtime/process/script";

export interface ContainerDeps {
  readonly dir: string;
  readonly cgroups: ProcessCgroups;
  readonly bootId: string;
  readonly limits: LogLimits;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborted when the runtime is disposed. */
  readonly signal: AbortSignal;
  readonly onChange: (action: "start" | "die") => void;
}

/** As Docker reports a container that the end of the machine has ended, and one that was killed. */
const lostCode = 255;
const killedCode = 137;
const pollMs = 10;
/** Mounts of a view take a tenth of a second; more is a machine that is overloaded. */
const startMs = 30_000;
/** After its kill a program may wait for a disk. */
const killMs = 10_000;

/** One container: its supervisor, its program and its log. What became of it is read from its directory. */
export class ProcessContainer {
  readonly record: ContainerRecord;
  readonly #deps: ContainerDeps;
  #exited: { readonly code: number; readonly atMs: number } | undefined;
  #wasOomKilled = false;
  #pump: LogPump | undefined;
  #watch: Disposable | undefined;
  #killAtMs: number | undefined;
  #stopping: Promise<void> | undefined;

  constructor(record: ContainerRecord, deps: ContainerDeps) {
    this.record = record;
    this.#deps = deps;
  }

  get id(): string {
    return this.record.id;
  }

  get phase(): ContainerPhase {
    this.#look();
    if (this.#exited) return "exited";
    return this.#read("supervisor") === undefined ? "created" : "running";
  }

  /** The program; undefined before it runs and when it has ended. */
  get program(): ProcessIdentity | undefined {
    const found = parseIdentity(this.#read("program"));
    return found && isAlive(found, this.#deps.bootId) ? found : undefined;
  }

  details(): ContainerDetails {
    const { id, identity, image, program } = this.record;
    const { phase } = this;
    const startedAtMs =
      phase === "created" ? undefined : (this.#timeOf("program") ?? this.#timeOf("supervisor"));
    const error = phase === "exited" && startedAtMs === undefined ? this.#problem() : "";
    return {
      id,
      identity,
      phase,
      uri: `process://${id}`,
      image,
      imageId: `process://${program}`,
      imageRef: `process://${program}`,
      pid: this.program?.pid ?? 0,
      startedAtMs,
      finishedAtMs: this.#exited?.atMs,
      exitCode: this.#exited?.code ?? 0,
      oomKilled: this.#wasOomKilled,
      error,
      ips: [],
    };
  }

  /** Takes up one of an earlier edgecore: its log is read on. */
  adopt(): void {
    const { phase } = this;
    if (phase === "running") this.#follow();
    else if (phase === "exited" && this.#supervisor() === "runs") {
      this.#readOn();
      this.#release();
    }
  }

  /** @throws AppError "engine-refused" when it cannot be set up */
  async start(tools: Tools): Promise<void> {
    if (this.phase === "running") return;
    if (this.phase === "exited") throw this.#refusal("it has ended");
    const { cgroups, dir } = this.#deps;
    const { identity, limits, start } = this.record;
    cgroups.prepare(this.id, identity.container, limits);
    await makePipes(
      tools,
      [fileNames.out, fileNames.err, fileNames.hold].map((one) => join(dir, one)),
    );
    chownPipes(dir, start.user.uid);
    const supervisor = spawnSupervisor(tools, dir);
    this.#readOn();
    await this.#started(supervisor);
    this.#follow();
    this.#deps.onChange("start");
  }

  /** Asks the program to end and kills it after the grace. Called again it can only take less. */
  stop(graceSeconds: number): Promise<void> {
    const killAtMs = this.#deps.clock.monotonicMs() + graceSeconds * 1000;
    this.#killAtMs = Math.min(killAtMs, this.#killAtMs ?? Infinity);
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = undefined;
      this.#killAtMs = undefined;
    });
    return this.#stopping;
  }

  /** Kills what is left of it; its directory is the caller's. */
  async remove(): Promise<void> {
    if (this.phase === "running") await this.stop(0);
    this[Symbol.dispose]();
    await this.#pump?.finish();
    this.#signal("supervisor", "SIGKILL");
    await this.#deps.cgroups.remove(this.id, this.#deps.clock);
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
  }

  /** Of one that has ended: resolves once its log is complete. */
  async written(): Promise<void> {
    if (this.phase === "exited") await this.#pump?.finish();
  }

  /** Whether it has ended since it was looked at last; tells of it. */
  look(): void {
    this.#look();
  }

  async #stop(): Promise<void> {
    const { clock } = this.#deps;
    if (this.phase !== "running") return;
    if (clock.monotonicMs() < (this.#killAtMs ?? 0)) this.#signal("program", "SIGTERM");
    while (clock.monotonicMs() < (this.#killAtMs ?? 0)) {
      if (this.phase !== "running") return;
      await clock.sleep(pollMs * 2);
    }
    const lastMs = clock.monotonicMs() + killMs;
    while (this.phase === "running") {
      // The first process of the namespace takes all others with it.
      if (!this.#signal("init", "SIGKILL")) this.#signal("program", "SIGKILL");
      if (clock.monotonicMs() > lastMs)
        throw this.#refusal("its processes do not end: they may wait for a disk");
      await clock.sleep(pollMs);
    }
  }

  #look(): void {
    if (this.#exited) return;
    const code = this.#exitCode();
    if (code !== undefined) return this.#ended(code);
    const supervisor = this.#supervisor();
    if (supervisor === undefined || supervisor === "runs") return;
    // It may have written its last word meanwhile.
    const last = this.#exitCode();
    if (last !== undefined) return this.#ended(last);
    const ending = supervisor === "of an earlier boot" ? lostCode : killedCode;
    this.#write("exit", `${ending}\n`);
    // Without its supervisor nobody would end them.
    this.#signal("init", "SIGKILL");
    this.#ended(ending);
  }

  #exitCode(): number | undefined {
    const code = /^(\d{1,3})\n/.exec(this.#read("exit") ?? "")?.[1];
    return code === undefined ? undefined : Number(code);
  }

  /** Undefined for a container that was not started. */
  #supervisor(): "runs" | "has ended" | "of an earlier boot" | undefined {
    const text = this.#read("supervisor");
    if (text === undefined) return undefined;
    const found = parseIdentity(text);
    if (found && found.bootId !== this.#deps.bootId) return "of an earlier boot";
    if (found) return isAlive(found, this.#deps.bootId) ? "runs" : "has ended";
    // It was killed between making the file and writing to it, or is about to write.
    const ageMs = this.#deps.clock.nowMs() - (this.#timeOf("supervisor") ?? 0);
    return ageMs > startMs || ageMs < 0 ? "has ended" : "runs";
  }

  #ended(code: number): void {
    const { cgroups, clock, onChange } = this.#deps;
    this.#exited = { code, atMs: this.#timeOf("exit") ?? clock.nowMs() };
    this.#wasOomKilled = code !== 0 && cgroups.wasOomKilled(this.id);
    if (!this.#watch && !this.#pump) return;
    this[Symbol.dispose]();
    this.#release();
    onChange("die");
  }

  /** The supervisor ends once the outputs have been read. */
  #release(): void {
    const { signal } = this.#deps;
    const end = async (): Promise<void> => {
      await this.#pump?.finish();
      if (!signal.aborted) this.#wakeSupervisor();
    };
    void end();
  }

  #wakeSupervisor(): void {
    try {
      const fd = openSync(this.#path("hold"), constants.O_RDWR | constants.O_NONBLOCK);
      writeSync(fd, "\n");
      // Closed by both, it would lose the line: the supervisor holds it.
      closeSync(fd);
    } catch {
      // The container was removed.
    }
  }

  async #started(supervisor: { readonly exitCode: number | null }): Promise<void> {
    const { clock } = this.#deps;
    const lastMs = clock.monotonicMs() + startMs;
    while (parseIdentity(this.#read("program")) === undefined) {
      this.#look();
      if (this.#exited || supervisor.exitCode !== null)
        throw this.#refusal(this.#problem() || "its supervisor ended");
      if (clock.monotonicMs() > lastMs) {
        await this.stop(0);
        throw this.#refusal(`its mounts took more than ${startMs / 1000} s`);
      }
      await clock.sleep(pollMs);
    }
  }

  #follow(): void {
    this.#readOn();
    try {
      const found = watch(this.#deps.dir, () => this.#look());
      found.on("error", () => undefined);
      this.#watch = { [Symbol.dispose]: () => found.close() };
    } catch (error) {
      // No watches are left on this machine: it is looked at with the list.
      this.#deps.log.debug("cannot watch the directory of a container", { container: this.id, error });
      this.#watch = { [Symbol.dispose]: () => undefined };
    }
    this.#look();
  }

  #readOn(): void {
    if (this.#pump) return;
    const { clock, log, limits, signal } = this.#deps;
    const { endMark, logPath: path } = this.record;
    const writer = new LogWriter({ id: this.id, path, limits, clock, log });
    const pipes = { stdout: this.#path("out"), stderr: this.#path("err") };
    this.#pump = new LogPump({ pipes, endMark, writer, clock, signal });
    void this.#pump.done.then(() => writer[Symbol.dispose]());
  }

  #signal(name: "supervisor" | "init" | "program", signal: NodeJS.Signals): boolean {
    const found = parseIdentity(this.#read(name));
    return found !== undefined && signalProcess(found, signal, this.#deps.bootId);
  }

  #problem(): string {
    return (this.#read("problem") ?? "").trim().slice(0, 1000);
  }

  #refusal(why: string): AppError {
    const { identity, program } = this.record;
    const message = `Cannot run "${program}" as container "${identity.container}": ${why}`;
    return new AppError("engine-refused" satisfies RuntimeCode, message);
  }

  #path(name: keyof typeof fileNames): string {
    return join(this.#deps.dir, fileNames[name]);
  }

  #read(name: keyof typeof fileNames): string | undefined {
    return readText(this.#path(name));
  }

  #write(name: keyof typeof fileNames, text: string): void {
    try {
      const fd = openSync(this.#path(name), constants.O_WRONLY);
      writeSync(fd, text);
      closeSync(fd);
    } catch (error) {
      this.#deps.log.warn("cannot keep how a program ended", { container: this.id, error });
    }
  }

  #timeOf(name: keyof typeof fileNames): number | undefined {
    return statSync(this.#path(name), { throwIfNoEntry: false })?.mtimeMs;
  }
}

async function makePipes(tools: Tools, paths: readonly string[]): Promise<void> {
  const made = Bun.spawn([tools.mkfifo, "-m", "600", ...paths], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  if ((await made.exited) !== 0)
    throw new AppError("engine-refused", (await new Response(made.stderr).text()).trim());
}

/** In a session of its own: nothing that ends edgecore ends it. */
function spawnSupervisor(tools: Tools, dir: string): Bun.Subprocess {
  const script = join(dir, fileNames.script);
  const command = [tools.unshare, "--mount", "--pid", "--propagation", "slave", "--", tools.sh, script];
  const spawned = Bun.spawn(command, {
    cwd: "/",
    env: { PATH: systemPath },
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(join(dir, fileNames.problem)),
    detached: true,
  });
  spawned.unref();
  return spawned;
}

/** A program may open its outputs again, as /dev/stdout. */
function chownPipes(dir: string, uid: number): void {
  for (const name of [fileNames.out, fileNames.err]) chownSync(join(dir, name), uid, 0);
}
