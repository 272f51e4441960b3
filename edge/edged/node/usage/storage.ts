import { join } from "node:path";
import type { Pod } from "#shared/kube";
import type { ContainerRuntime, ContainerSummary } from "#edge/runtime";

/** What a pod takes of the disks, bytes. */
export interface PodStorage {
  /** By container: what it wrote outside of volumes, and its logs. */
  readonly containers: ReadonlyMap<string, number>;
  /** By volume: those of kind emptyDir that are not in memory; Infinity where counting takes too long. */
  readonly volumes: ReadonlyMap<string, number>;
}

export interface StorageSource {
  readonly pod: Pod;
  /** Where its volumes are. */
  readonly podDir: string;
  readonly containers: readonly ContainerSummary[];
}

export interface StorageTools {
  readonly runtime: Pick<ContainerRuntime, "diskUsage">;
  readonly signal: AbortSignal;
}

/** A measurement that takes longer costs the disk more than it is worth, and others wait for it. */
const longestMs = 20_000;

/** Measures the latest run of each container through the engine, and volumes with du. What cannot be measured is absent. */
export async function measureStorage(source: StorageSource, tools: StorageTools): Promise<PodStorage> {
  const containers = new Map<string, number>();
  for (const { id, identity } of latestRuns(source.containers)) {
    const used = await tools.runtime.diskUsage(id, { signal: tools.signal });
    if (used) containers.set(identity.container, used.writableBytes + used.logBytes);
  }
  const volumes = new Map<string, number>();
  for (const { name, emptyDir } of source.pod.spec.volumes ?? []) {
    if (!emptyDir || emptyDir.medium === "Memory") continue;
    const bytes = await measureFolder(join(source.podDir, "volumes", name), tools.signal);
    if (bytes !== undefined) volumes.set(name, bytes);
  }
  return { containers, volumes };
}

export function totalOf({ containers, volumes }: PodStorage): number {
  return [...containers.values(), ...volumes.values()].reduce((sum, bytes) => sum + bytes, 0);
}

function latestRuns(containers: readonly ContainerSummary[]): ContainerSummary[] {
  const latest = new Map<string, ContainerSummary>();
  for (const one of containers) {
    const { role, container, attempt } = one.identity;
    const before = latest.get(container);
    if (role !== "sandbox" && (!before || before.identity.attempt < attempt)) latest.set(container, one);
  }
  return [...latest.values()];
}

/** Bytes on the disk below a folder, other file systems left out, in a process of its own: a million files take seconds. */
async function measureFolder(path: string, signal: AbortSignal): Promise<number | undefined> {
  try {
    const options = { stdout: "pipe", stderr: "ignore", signal, timeout: longestMs } as const;
    const du = Bun.spawn(["du", "-xsk", path], options);
    const text = await new Response(du.stdout).text();
    await du.exited;
    // It fails, and has counted the rest, when files disappear meanwhile.
    const kib = /^(\d+)\s/.exec(text)?.[1];
    if (kib !== undefined) return Number(kib) * 1024;
    return du.signalCode === null || signal.aborted ? undefined : Infinity;
  } catch {
    // No such program on this machine.
    return undefined;
  }
}
