import { isRecord } from "#shared/json";

/** What something uses: the processor over a window of time, memory at its end. */
export interface ResourceUsage {
  readonly cpuNanoCores: number;
  /** Memory in use that cannot be taken back under pressure: kubelet's working set. */
  readonly memoryBytes: number;
}

/** Usage of the containers of one pod, by name. */
export type PodUsage = ReadonlyMap<string, ResourceUsage>;

/** What a node says of itself and its pods. */
export interface UsageReport {
  /** Over which the processor was measured. */
  readonly windowMs: number;
  readonly node: ResourceUsage;
  /** By uid. */
  readonly pods: ReadonlyMap<string, PodUsage>;
}

export type ReadUsage =
  { readonly ok: true; readonly report: UsageReport } | { readonly ok: false; readonly problem: string };

/** Containers in one report, which has to fit into a block of 64 KiB with the longest names there are. */
export const mostContainers = 400;
/** A million processors, and 8 PiB: what is beyond is no measurement. */
const mostNanoCores = 1e15;
const mostMemoryBytes = 2 ** 53;
/** Reports come every 15 s; the processor of a node that was suspended is measured over the time that it slept. */
const longestWindowMs = 86_400_000;

type Written = readonly [cpuNanoCores: number, memoryBytes: number];

/** A report as JSON, short because links are paid by the byte: pairs of nanocores and bytes. */
export function writeUsage({ windowMs, node, pods }: UsageReport): unknown {
  const write = ({ cpuNanoCores, memoryBytes }: ResourceUsage): Written => [
    Math.round(cpuNanoCores),
    Math.round(memoryBytes),
  ];
  const podEntries = [...pods].map(([uid, containers]) => [
    uid,
    Object.fromEntries([...containers].map(([name, usage]) => [name, write(usage)])),
  ]);
  return { windowMs: Math.round(windowMs), node: write(node), pods: Object.fromEntries(podEntries) };
}

/** Reads what `writeUsage` gives. A problem names the field. */
export function readUsage(value: unknown): ReadUsage {
  if (!isRecord(value)) return { ok: false, problem: "expected an object" };
  const { windowMs, pods } = value;
  if (!isWithin(windowMs, 1, longestWindowMs))
    return { ok: false, problem: "windowMs: expected milliseconds, at least 1" };
  const node = readPair(value["node"]);
  if (!node) return { ok: false, problem: `node: ${expectedPair}` };
  if (!isRecord(pods)) return { ok: false, problem: "pods: expected an object" };
  const read = new Map<string, PodUsage>();
  let left = mostContainers;
  for (const [uid, containers] of Object.entries(pods)) {
    if (!isRecord(containers)) return { ok: false, problem: "pods: expected objects" };
    const usages = new Map<string, ResourceUsage>();
    for (const [name, pair] of Object.entries(containers)) {
      const usage = readPair(pair);
      if (!usage) return { ok: false, problem: `pods: ${expectedPair}` };
      usages.set(name, usage);
    }
    left -= usages.size;
    if (left < 0) return { ok: false, problem: `pods: expected at most ${mostContainers} containers` };
    read.set(uid, usages);
  }
  return { ok: true, report: { windowMs, node, pods: read } };
}

const expectedPair = "expected nanocores and bytes, neither negative";

function readPair(value: unknown): ResourceUsage | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined;
  const [cpuNanoCores, memoryBytes]: readonly unknown[] = value;
  if (!isWithin(cpuNanoCores, 0, mostNanoCores) || !isWithin(memoryBytes, 0, mostMemoryBytes))
    return undefined;
  return { cpuNanoCores, memoryBytes };
}

/** False for NaN as well. */
function isWithin(value: unknown, least: number, most: number): value is number {
  return typeof value === "number" && value >= least && value <= most;
}
