import { objectAt } from "#cloud/kube-client";
import { rfc3339 } from "#shared/clock";
import type { KubeObject, Node, Pod } from "#shared/kube";
import type { ResourceUsage } from "#shared/usage";
import type { ReceivedUsage } from "./watched-node.ts";

export const metricsGroup = { group: "metrics.k8s.io", version: "v1beta1" } as const;
const apiVersion = `${metricsGroup.group}/${metricsGroup.version}`;

/** Usage of a node, as metrics-server shows it. */
export function nodeMetrics(node: Node, received: ReceivedUsage): KubeObject {
  return {
    apiVersion,
    kind: "NodeMetrics",
    metadata: metadataOf(node, received),
    ...timeOf(received),
    usage: usageOf(received.report.node),
  };
}

/**
 * Usage of a pod; undefined when its node says nothing of it. Containers that its specification does not have are left out: a
 * node knows nothing of pods of others, and cannot invent any.
 */
export function podMetrics(pod: Pod, received: ReceivedUsage): KubeObject | undefined {
  const usages = received.report.pods.get(pod.metadata.uid ?? "");
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const containers = all.flatMap(({ name: container }) => {
    const usage = usages?.get(container);
    return usage ? [{ name: container, usage: usageOf(usage) }] : [];
  });
  if (containers.length === 0) return undefined;
  return {
    apiVersion,
    kind: "PodMetrics",
    metadata: metadataOf(pod, received),
    ...timeOf(received),
    containers,
  };
}

export function metricsList(kind: "NodeMetricsList" | "PodMetricsList", items: readonly KubeObject[]) {
  return { kind, apiVersion, metadata: {}, items };
}

function metadataOf({ metadata }: KubeObject, { atMs }: ReceivedUsage): KubeObject["metadata"] {
  return {
    ...objectAt({ metadata }),
    creationTimestamp: rfc3339(atMs),
    ...(metadata.labels && { labels: metadata.labels }),
  };
}

function timeOf({ atMs, report }: ReceivedUsage): { timestamp: string; window: string } {
  return { timestamp: rfc3339(atMs), window: `${report.windowMs / 1000}s` };
}

/** Quantities in the units of metrics-server. */
function usageOf({ cpuNanoCores, memoryBytes }: ResourceUsage): { cpu: string; memory: string } {
  const nano = Math.round(cpuNanoCores);
  return { cpu: nano === 0 ? "0" : `${nano}n`, memory: `${Math.floor(memoryBytes / 1024)}Ki` };
}
