import type { FileSystemUsage } from "#edge/runtime";

/** What a check reads of the machine. */
export interface MachineState {
  /** Share of the processors that is busy, in percent. */
  readonly cpuPercent: () => Promise<number>;
  readonly memory: () => { readonly totalBytes: number; readonly availableBytes: number };
  /** The disks of the data directory and of the images. */
  readonly disks: () => Promise<readonly FileSystemUsage[]>;
}

/** KubeEdge: MaxCPUUsage, MaxMemUsage and MaxDiskUsage of its pre-check. */
const mostPercent = 80;

/** Why a machine does not pass a check item of a job; undefined when it does. As KubeEdge's taskexecutor/pre_check.go. */
export async function checkItem(item: string, machine: MachineState): Promise<string | undefined> {
  switch (item) {
    case "cpu":
      return tooMuch("cpu", await machine.cpuPercent());
    case "mem": {
      const { totalBytes, availableBytes } = machine.memory();
      return tooMuch("mem", percentUsed(totalBytes, availableBytes));
    }
    case "disk": {
      const used = (await machine.disks()).map((disk) =>
        percentUsed(disk.capacityBytes, disk.availableBytes),
      );
      return tooMuch("disk", Math.max(0, ...used));
    }
    default:
      return `check item "${item}" is not supported`;
  }
}

function percentUsed(total: number, available: number): number {
  return total > 0 ? ((total - available) * 100) / total : 0;
}

function tooMuch(item: string, percent: number): string | undefined {
  return percent > mostPercent
    ? `current ${item} usage is ${percent.toFixed(1)}, which exceeds the maximum allowed usage ${mostPercent}`
    : undefined;
}
