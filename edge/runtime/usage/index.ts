/** What containers use: from the files of the kernel where they can be read, else from the engine. */
export { CgroupUsage, type CgroupRoots } from "./cgroup-usage.ts";
export type { ContainerDiskUsage, ContainerUsage } from "./container-usage.ts";
export { readEngineStats } from "./engine-stats.ts";
export { limitProcesses } from "./limit-processes.ts";
export { LogBound, planRemoval, type CountedLog } from "./log-bound.ts";
export { logSize } from "./log-size.ts";
