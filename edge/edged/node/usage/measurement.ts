import type { Clock } from "#shared/clock";
import {
  mostContainers,
  type ContainerCounters,
  type ResourceUsage,
  type UsageCounters,
  type UsageReport,
  type UsedResources,
} from "#shared/usage";
import type { ContainerRuntime } from "#edge/runtime";
import { readNodeUsage } from "./node-load.ts";

export interface MeasurementSources {
  readonly runtime: Pick<ContainerRuntime, "list" | "usage">;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly readNode?: (() => UsedResources) | undefined;
}

/** What the node and its running containers have used until now; containers that cannot be measured are left out. */
export async function measure(sources: MeasurementSources): Promise<UsageCounters> {
  const { runtime, clock, readNode = readNodeUsage } = sources;
  const containers: ContainerCounters[] = [];
  for (const { id, identity, phase } of await runtime.list()) {
    const usage = phase === "running" && identity.role !== "sandbox" ? await runtime.usage(id) : undefined;
    const { container, podName: pod, podNamespace: namespace, podUid } = identity;
    if (usage) containers.push({ id, container, pod, namespace, podUid, ...usage });
  }
  return { atMs: clock.monotonicMs(), node: readNode(), containers };
}

/** What was used between two measurements. Containers that did not run at both are left out. */
export function usageBetween(earlier: UsageCounters, later: UsageCounters): UsageReport {
  const windowMs = Math.max(1, later.atMs - earlier.atMs);
  const rate = (before: number, after: number): number => (Math.max(0, after - before) / windowMs) * 1000;
  const before = new Map(earlier.containers.map((one) => [one.id, one.cpuNanoseconds]));
  const pods = new Map<string, Map<string, ResourceUsage>>();
  for (const one of later.containers.slice(0, mostContainers)) {
    const used = before.get(one.id);
    if (used === undefined) continue;
    const pod = pods.get(one.podUid) ?? new Map<string, ResourceUsage>();
    const cpuNanoCores = rate(used, one.cpuNanoseconds);
    pods.set(one.podUid, pod.set(one.container, { cpuNanoCores, memoryBytes: one.workingSetBytes }));
  }
  const node = {
    cpuNanoCores: rate(earlier.node.cpuNanoseconds, later.node.cpuNanoseconds),
    memoryBytes: later.node.workingSetBytes,
  };
  return { windowMs, node, pods };
}
