import { readFileSync } from "node:fs";
import type { UsedResources } from "#shared/usage";

/** The kernel reports the time of processors in ticks of USER_HZ, a hundred a second on every architecture of Linux. */
const tickNanoseconds = 1e7;

/**
 * Reads /proc/stat and /proc/meminfo. Memory is without what is free and files that were not used lately, as kubelet computes
 * it for the node.
 */
export function readNodeUsage(proc = "/proc"): UsedResources {
  const text = readFileSync(`${proc}/meminfo`, "utf8");
  const field = (name: string): number =>
    Number(new RegExp(String.raw`^${RegExp.escape(name)}:\s+(\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
  const used = field("MemTotal") - field("MemFree") - field("Inactive(file)");
  return {
    cpuNanoseconds: busyTicks(readFileSync(`${proc}/stat`, "utf8")) * tickNanoseconds,
    workingSetBytes: Math.max(0, used),
  };
}

/** All but idle time. That of guests is part of user time already. */
function busyTicks(stat: string): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, steal = 0] = (stat.split("\n")[0] ?? "")
    .split(/\s+/)
    .map(Number);
  return user + nice + system + irq + softIrq + steal;
}
