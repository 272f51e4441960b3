import { readFileSync } from "node:fs";
import { join } from "node:path";
import { workingSet, type ContainerUsage } from "./container-usage.ts";

export interface CgroupRoots {
  /** e.g. /proc */
  readonly proc: string;
  /** e.g. /sys/fs/cgroup */
  readonly cgroup: string;
}

/** The directories in which the kernel counts for one container. */
type Place =
  | { readonly version: 1; readonly cpu: string; readonly memory: string; readonly pids: string | undefined }
  | { readonly version: 2; readonly unified: string };

/** Containers whose directories are remembered; a node runs 110 pods. Beyond it the oldest are looked up again. */
const mostKnown = 1000;

/**
 * Usage of containers from the files of control groups, of both versions. Where they are follows from a process of the
 * container, whatever the engine calls them, and is remembered until they are gone.
 */
export class CgroupUsage {
  readonly #roots: CgroupRoots;
  readonly #known = new Map<string, Place>();

  constructor(roots: CgroupRoots = { proc: "/proc", cgroup: "/sys/fs/cgroup" }) {
    this.#roots = roots;
  }

  /** Remembers where the container is, by a process of it. @returns false when its files cannot be read here */
  find(id: string, pid: number): boolean {
    const place = this.#locate(id, pid);
    if (!place || !readPlace(place)) return false;
    this.#known.set(id, place);
    const [oldest] = this.#known.keys();
    if (this.#known.size > mostKnown && oldest !== undefined) this.#known.delete(oldest);
    return true;
  }

  /** Undefined when it is not known where the container is, or it has ended. */
  read(id: string): ContainerUsage | undefined {
    const place = this.#known.get(id);
    const usage = place && readPlace(place);
    if (!usage) this.#known.delete(id);
    return usage;
  }

  /** In another PID namespace the number is that of another process: the path has to name the container. */
  #locate(id: string, pid: number): Place | undefined {
    const { proc, cgroup } = this.#roots;
    const dirs = new Map<string, string>();
    for (const line of readText(join(proc, String(pid), "cgroup"))?.split("\n") ?? []) {
      const [, names = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
      if (path.includes(id)) for (const name of names.split(",")) dirs.set(name, join(cgroup, name, path));
    }
    const [cpu, memory, unified] = ["cpuacct", "memory", ""].map((name) => dirs.get(name));
    if (cpu !== undefined && memory !== undefined) return { version: 1, cpu, memory, pids: dirs.get("pids") };
    return unified === undefined ? undefined : { version: 2, unified };
  }
}

function readPlace(place: Place): ContainerUsage | undefined {
  const usage = place.version === 1 ? readFirst(place.cpu, place.memory) : readSecond(place.unified);
  const pids = place.version === 1 ? place.pids : place.unified;
  const processes = pids === undefined ? undefined : readNumber(join(pids, "pids.current"));
  // CRI-O keeps the control group of a container that has ended until that is removed.
  if (processes === 0) return undefined;
  return usage && processes !== undefined ? { ...usage, processes } : usage;
}

function readFirst(cpu: string, memory: string): ContainerUsage | undefined {
  const cpuNanoseconds = readNumber(join(cpu, "cpuacct.usage"));
  const usageBytes = readNumber(join(memory, "memory.usage_in_bytes"));
  const stat = readFields(join(memory, "memory.stat"));
  if (cpuNanoseconds === undefined || usageBytes === undefined || !stat) return undefined;
  return {
    cpuNanoseconds,
    usageBytes,
    workingSetBytes: workingSet(usageBytes, stat.get("total_inactive_file") ?? 0),
    rssBytes: stat.get("total_rss") ?? 0,
    cacheBytes: stat.get("total_cache") ?? 0,
  };
}

function readSecond(unified: string): ContainerUsage | undefined {
  const microseconds = readFields(join(unified, "cpu.stat"))?.get("usage_usec");
  const usageBytes = readNumber(join(unified, "memory.current"));
  const stat = readFields(join(unified, "memory.stat"));
  if (microseconds === undefined || usageBytes === undefined || !stat) return undefined;
  return {
    cpuNanoseconds: microseconds * 1000,
    usageBytes,
    workingSetBytes: workingSet(usageBytes, stat.get("inactive_file") ?? 0),
    rssBytes: stat.get("anon") ?? 0,
    cacheBytes: stat.get("file") ?? 0,
  };
}

/** Lines of a name and a number. */
function readFields(path: string): ReadonlyMap<string, number> | undefined {
  const lines = readText(path)?.split("\n");
  return (
    lines &&
    new Map(lines.map((line) => line.split(" ")).map(([name = "", value]) => [name, Number(value ?? NaN)]))
  );
}

function readNumber(path: string): number | undefined {
  const text = readText(path);
  const value = Number(text ?? NaN);
  return Number.isFinite(value) ? value : undefined;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    // The container has ended, or this kernel counts in files of another name.
    return undefined;
  }
}
