import { readdirSync } from "node:fs";
import type { Family } from "./exposition.ts";

/** What every Prometheus client shows of its process. @param startedMs wall clock */
export function processFamilies(startedMs: number): readonly Family[] {
  const { user, system } = process.cpuUsage();
  const gauge = (name: string, help: string, value: number): Family => ({
    name,
    help,
    type: "gauge",
    samples: [{ value }],
  });
  return [
    {
      name: "process_cpu_seconds_total",
      help: "Total user and system CPU time spent in seconds.",
      type: "counter",
      samples: [{ value: (user + system) / 1e6 }],
    },
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.", process.memoryUsage.rss()),
    gauge(
      "process_start_time_seconds",
      "Start time of the process since unix epoch in seconds.",
      startedMs / 1000,
    ),
    gauge("process_open_fds", "Number of open file descriptors.", readdirSync("/proc/self/fd").length),
  ];
}
