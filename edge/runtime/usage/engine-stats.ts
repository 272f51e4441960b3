import { recordOf } from "#shared/json";
import { workingSet, type ContainerUsage } from "./container-usage.ts";

/** The answer of Docker's `GET /containers/<id>/stats`; undefined for a container that has ended. */
export function readEngineStats(stats: unknown): ContainerUsage | undefined {
  const cpu = recordOf(recordOf(recordOf(stats)["cpu_stats"])["cpu_usage"])["total_usage"];
  const memory = recordOf(recordOf(stats)["memory_stats"]);
  const { usage } = memory;
  const fields = recordOf(memory["stats"]);
  if (typeof cpu !== "number" || typeof usage !== "number") return undefined;
  const processes = recordOf(recordOf(stats)["pids_stats"])["current"];
  const field = (...names: readonly string[]): number => {
    const found = names.map((name) => fields[name]).find((value) => typeof value === "number");
    return typeof found === "number" ? found : 0;
  };
  return {
    cpuNanoseconds: cpu,
    usageBytes: usage,
    workingSetBytes: workingSet(usage, field("total_inactive_file", "inactive_file")),
    rssBytes: field("total_rss", "anon"),
    cacheBytes: field("total_cache", "file"),
    ...(typeof processes === "number" ? { processes } : {}),
  };
}
