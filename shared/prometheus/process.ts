import { readdirSync } from "node:fs";
import { readDiskWrites } from "./disk-writes.ts";
import { gauge, type Family } from "./exposition.ts";

/** What every Prometheus client shows of its process. @param startedMs wall clock */
export function processFamilies(startedMs: number): readonly Family[] {
  const { user, system } = process.cpuUsage();
  const writes = readDiskWrites();
  return [
    {
      name: "process_cpu_seconds_total",
      help: "Total user and system CPU time spent in seconds.",
      type: "counter",
      samples: [{ value: (user + system) / 1e6 }],
    },
    ...(writes
      ? [
          {
            name: "process_disk_written_bytes_total",
            help: "Bytes that the process caused to be written to disks, in whole pages.",
            type: "counter" as const,
            samples: [{ value: writes.bytes }],
          },
        ]
      : []),
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.", process.memoryUsage.rss()),
    gauge(
      "process_start_time_seconds",
      "Start time of the process since unix epoch in seconds.",
      startedMs / 1000,
    ),
    gauge("process_open_fds", "Number of open file descriptors.", readdirSync("/proc/self/fd").length),
  ];
}
