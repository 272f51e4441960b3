import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MachineLoad } from "#edge/edged/node";
import type { EvictionConfig } from "#shared/config";
import type { Container, Pod, PodSpec } from "#shared/kube";
import { EdgedHarness, noEviction } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

export const MiB = 2 ** 20;
export const GiB = 2 ** 30;
export const disk = { capacityBytes: 100 * GiB, availableBytes: 50 * GiB, inodes: 1000, freeInodes: 900 };
export const plenty: MachineLoad = {
  memoryBytes: 4 * GiB,
  memoryAvailableBytes: 2 * GiB,
  disk,
  images: disk,
  processes: 100,
  mostProcesses: 32_768,
};
export const hard: EvictionConfig["hard"] = {
  "memory.available": "100Mi",
  "nodefs.available": "10%",
  "nodefs.inodesFree": "5%",
  "imagefs.available": "15%",
};

export async function world(eviction: Partial<EvictionConfig> = { hard }) {
  const dir = tempDir("eviction");
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  runtime.registry.add("web:1");
  const edge = new EdgedHarness();
  const machine = { load: plenty };
  const start = (): Promise<void> =>
    edge.start(
      runtime,
      clock,
      { dataDir: dir.path, eviction: { ...noEviction, ...eviction } },
      { readLoad: () => machine.load },
    );
  await start();
  await clock.advance(0);
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  const idOf = (name: string): string => {
    const index = runtime
      .specs()
      .findIndex(({ identity: one }) => one.podName === name && one.role === "container");
    const ids = runtime.ids();
    return ids[index] ?? "";
  };
  /** Its working set from now on. */
  const uses = (name: string, workingSetBytes: number, processes = 1): void => {
    const usage = { cpuNanoseconds: 0, usageBytes: 0, rssBytes: 0, cacheBytes: 0 };
    runtime.used.set(idOf(name), { ...usage, workingSetBytes, processes });
  };
  return {
    edge,
    clock,
    runtime,
    machine,
    start,
    uses,
    idOf,
    dataDir: dir.path,
    [Symbol.asyncDispose]: dispose,
  };
}

type World = Awaited<ReturnType<typeof world>>;

interface Given extends Partial<PodSpec> {
  readonly requests?: Record<string, string>;
  readonly limits?: Record<string, string>;
}

export function podOf(name: string, { requests, limits, ...spec }: Given = {}): Pod {
  const container: Container = {
    name: "c",
    image: "web:1",
    resources: { ...(requests && { requests }), ...(limits && { limits }) },
  };
  return {
    metadata: { name, namespace: "default", uid: `uid-${name}` },
    spec: { containers: [container], ...spec },
  };
}

export async function run(at: World, ...pods: readonly Pod[]): Promise<void> {
  for (const pod of pods) await at.edge.apply(pod);
  await at.clock.advance(0);
}

export const phases = ({ edge }: World, ...names: readonly string[]): (string | undefined)[] =>
  names.map((name) => edge.status(`uid-${name}`)?.phase);

/** 12 MiB in its volume `v`. */
export function fillVolume({ dataDir }: World, name: string): void {
  writeFileSync(join(dataDir, `pods/uid-${name}/volumes/v/file`), Buffer.alloc(12 * MiB, 1));
}
