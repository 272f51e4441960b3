import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#shared/clock";
import { AppError, describeError, errorCodeOf } from "#shared/errors";
import type { ContainerResources, ContainerSpec, RuntimeCode } from "#edge/runtime";

type Controller = "cpu" | "cpuacct" | "memory" | "pids";
const controllers: readonly Controller[] = ["cpu", "cpuacct", "memory", "pids"];

export type Limits = Pick<ContainerSpec, "cpuShares" | "nanoCpus" | "memoryBytes" | "pidsLimit">;

/** Beside those of systemd, as kubelet's own with its driver "cgroupfs": what systemd ends with edgecore is not in it. */
const parent = "kubeedge-processes";
const supervisors = "supervisors";
/** Enough for any program; a fork bomb is stopped before the machine has no number left for others. */
const usualProcesses = 1024;
const periodMicros = 100_000;

/**
 * Control groups of programs: one for each container, in the hierarchies of version 1 or in that of version 2. On a machine without
 * them programs run without limits, and one that asks for a limit is refused.
 */
export class ProcessCgroups {
  readonly #version: 1 | 2;
  /** Directories of this node's groups, by controller; with version 2 it is the same one. */
  readonly #places: ReadonlyMap<Controller, string>;

  constructor(owner: string, root = "/sys/fs/cgroup") {
    const unified = existsSync(join(root, "cgroup.controllers"));
    this.#version = unified ? 2 : 1;
    this.#places = unified ? openUnified(root, owner) : openHierarchies(root, owner);
  }

  /** Makes the group of a container and sets its limits. @throws AppError "engine-refused" for a limit that this machine has not */
  prepare(id: string, container: string, { pidsLimit, ...resources }: Limits): void {
    for (const dir of this.#dirs(id)) mkdirSync(dir, { recursive: true });
    const most = String(pidsLimit ?? usualProcesses);
    const processes: Setting = [
      "pids",
      "edged.pod-pids-limit",
      pidsLimit !== undefined,
      [["pids.max", most]],
    ];
    this.#apply(id, container, [processes, ...settingsOf(resources, this.#version)]);
  }

  /** Changes what is given of the limits of a group. @throws AppError "engine-refused" */
  update(id: string, container: string, resources: ContainerResources): void {
    this.#apply(id, container, settingsOf(resources, this.#version));
  }

  #apply(id: string, container: string, settings: readonly Setting[]): void {
    for (const [controller, field, isWanted, files] of settings) {
      const dir = this.#places.get(controller);
      try {
        if (dir === undefined) throw new Error(`this machine has no control groups for ${controller}`);
        for (const [file, value] of files) writeFileSync(join(dir, id, file), value);
      } catch (error) {
        if (!isWanted) continue;
        const message = `Cannot limit container "${container}": ${field} cannot be applied: ${describeError(error)}`;
        throw new AppError("engine-refused" satisfies RuntimeCode, message, { cause: error });
      }
    }
  }

  /** The files that a process writes 0 to in order to join. */
  joins(id: string): string[] {
    return this.#dirs(id).map((dir) => join(dir, "cgroup.procs"));
  }

  supervisorJoins(): string[] {
    const dirs = this.#dirs(supervisors);
    for (const dir of dirs) mkdirSync(dir, { recursive: true });
    return dirs.map((dir) => join(dir, "cgroup.procs"));
  }

  /** Whether the kernel has ended a process of it for want of memory. */
  wasOomKilled(id: string): boolean {
    const dir = this.#places.get("memory");
    if (dir === undefined) return false;
    const file = this.#version === 2 ? "memory.events" : "memory.oom_control";
    const count = /^oom_kill (\d+)$/m.exec(readText(join(dir, id, file)))?.[1];
    return count !== undefined && count !== "0";
  }

  /** Removes a group whose processes have ended; the kernel may need a moment. Never rejects. */
  async remove(id: string, clock: Pick<Clock, "sleep">): Promise<void> {
    for (const dir of this.#dirs(id))
      for (let attempt = 0; attempt < 50 && !tryRemove(dir); attempt += 1) {
        killAll(dir);
        await clock.sleep(10);
      }
  }

  /** Groups of containers that are gone. */
  async sweep(kept: ReadonlySet<string>, clock: Pick<Clock, "sleep">): Promise<void> {
    const found = new Set([...this.#places.values()].flatMap((dir) => subgroups(dir)));
    for (const id of found) if (id !== supervisors && !kept.has(id)) await this.remove(id, clock);
  }

  #dirs(id: string): string[] {
    return [...new Set(this.#places.values())].map((dir) => join(dir, id));
  }
}

function openHierarchies(root: string, owner: string): ReadonlyMap<Controller, string> {
  const places = new Map<Controller, string>();
  for (const controller of controllers) {
    const dir = join(root, controller, parent, owner);
    if (existsSync(join(root, controller, "cgroup.procs")) && tryMake(dir)) places.set(controller, dir);
  }
  return places;
}

function openUnified(root: string, owner: string): ReadonlyMap<Controller, string> {
  const dir = join(root, parent, owner);
  if (!tryMake(dir)) return new Map();
  for (const above of [root, join(root, parent), dir])
    for (const controller of ["cpu", "memory", "pids"])
      try {
        writeFileSync(join(above, "cgroup.subtree_control"), `+${controller}`);
      } catch {
        // This kernel, or who manages this group, does not give it.
      }
  const given = readText(join(dir, "cgroup.subtree_control")).split(/\s+/);
  return new Map([
    ...controllers.filter((one) => given.includes(one)).map((one) => [one, dir] as const),
    // The kernel counts time in every group.
    ["cpuacct", dir],
  ]);
}

type Setting = readonly [Controller, string, boolean, readonly (readonly [string, string])[]];

function settingsOf({ cpuShares, nanoCpus, memoryBytes }: ContainerResources, version: 1 | 2): Setting[] {
  const isFirst = version === 1;
  const settings: Setting[] = [];
  if (cpuShares !== undefined) {
    // As runc converts one to the other.
    const weight = 1 + Math.floor(((Math.min(262_144, Math.max(2, cpuShares)) - 2) * 9999) / 262_142);
    const file = isFirst
      ? (["cpu.shares", String(cpuShares)] as const)
      : (["cpu.weight", String(weight)] as const);
    settings.push(["cpu", "resources.requests.cpu", false, [file]]);
  }
  if (nanoCpus !== undefined) {
    const quota = Math.max(1000, Math.round((nanoCpus / 1e9) * periodMicros));
    const first = [
      ["cpu.cfs_period_us", String(periodMicros)],
      ["cpu.cfs_quota_us", String(quota)],
    ] as const;
    const files = isFirst ? first : ([["cpu.max", `${quota} ${periodMicros}`]] as const);
    settings.push(["cpu", "resources.limits.cpu", true, files]);
  }
  if (memoryBytes !== undefined) {
    const file = isFirst ? "memory.limit_in_bytes" : "memory.max";
    settings.push(["memory", "resources.limits.memory", true, [[file, String(memoryBytes)]]]);
  }
  return settings;
}

function tryMake(dir: string): boolean {
  try {
    mkdirSync(dir, { recursive: true });
    return true;
  } catch {
    // Not root, or the hierarchy is read-only.
    return false;
  }
}

function tryRemove(dir: string): boolean {
  try {
    rmdirSync(dir);
    return true;
  } catch (error) {
    return errorCodeOf(error) === "ENOENT";
  }
}

function killAll(dir: string): void {
  // 0 is a process that this PID namespace does not see; to kill 0 would end edgecore and its group.
  for (const pid of readText(join(dir, "cgroup.procs")).split("\n").map(Number))
    try {
      if (pid > 0) process.kill(pid, "SIGKILL");
    } catch {
      // It has ended.
    }
}

function subgroups(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true }).flatMap((one) => (one.isDirectory() ? [one.name] : []));
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
