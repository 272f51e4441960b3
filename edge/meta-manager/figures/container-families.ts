import type { Family } from "#shared/prometheus";
import type { ContainerCounters, UsageCounters } from "#shared/usage";

/** Containers, with the names and labels of cAdvisor in kubelet. */
export function containerFamilies(counters: UsageCounters): readonly Family[] {
  // A pod may still run when another one of its name does: Prometheus refuses a page with a sample twice.
  const byName = counters.containers.map(
    (one) => [`${one.namespace}/${one.pod}/${one.container}`, one] as const,
  );
  const containers = [...new Map(byName).values()];
  const family = (
    name: string,
    help: string,
    type: Family["type"],
    value: (one: ContainerCounters) => number,
  ): Family => ({
    name,
    help,
    type,
    samples: containers.map((one) => {
      const { namespace, pod, container } = one;
      return { labels: { namespace, pod, container }, value: value(one) };
    }),
  });
  return [
    family(
      "container_cpu_usage_seconds_total",
      "Cumulative cpu time consumed in seconds.",
      "counter",
      (one) => one.cpuNanoseconds / 1e9,
    ),
    family(
      "container_memory_working_set_bytes",
      "Current working set in bytes.",
      "gauge",
      (one) => one.workingSetBytes,
    ),
    family(
      "container_memory_usage_bytes",
      "Current memory usage in bytes, with files in memory.",
      "gauge",
      (one) => one.usageBytes,
    ),
    family("container_memory_rss", "Size of RSS in bytes.", "gauge", (one) => one.rssBytes),
    family("container_memory_cache", "Files in memory in bytes.", "gauge", (one) => one.cacheBytes),
  ];
}

/** The node, with the names of kubelet's /metrics/resource. */
export function nodeFamilies({ node }: UsageCounters): readonly Family[] {
  return [
    {
      name: "node_cpu_usage_seconds_total",
      help: "Cumulative cpu time consumed by the node in core-seconds.",
      type: "counter",
      samples: [{ value: node.cpuNanoseconds / 1e9 }],
    },
    {
      name: "node_memory_working_set_bytes",
      help: "Current working set of the node in bytes.",
      type: "gauge",
      samples: [{ value: node.workingSetBytes }],
    },
  ];
}
