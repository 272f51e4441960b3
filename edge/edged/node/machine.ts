import { existsSync, readFileSync } from "node:fs";
import { arch, cpus, hostname, networkInterfaces, release, totalmem } from "node:os";
import type { FileSystemUsage } from "#edge/runtime";
import { readFileSystem } from "#shared/files";

/** What does not change while the machine is up. */
export interface Machine {
  readonly hostname: string;
  /** Go's name of the processor, e.g. "amd64" */
  readonly architecture: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly machineId: string;
  readonly systemUuid: string;
  readonly bootId: string;
  readonly kernelVersion: string;
  readonly osImage: string;
}

/** What the machine has left of what pods use. */
export interface MachineLoad {
  readonly memoryBytes: number;
  readonly memoryAvailableBytes: number;
  /** Where the data directory is. */
  readonly disk: FileSystemUsage;
  /** Where images and containers are; undefined while that is unknown, or not on this machine. */
  readonly images?: FileSystemUsage | undefined;
  readonly processes: number;
  readonly mostProcesses: number;
}

/** Reads it from /proc, /sys and /etc; what this kind of machine does not have is empty. */
export function readMachine(): Machine {
  const machineId = readText("/etc/machine-id") || readText("/var/lib/dbus/machine-id");
  return {
    hostname: hostname().toLowerCase(),
    architecture: { x64: "amd64", ia32: "386" }[arch() as string] ?? arch(),
    cpus: cpus().length || 1,
    memoryBytes: totalmem(),
    machineId,
    systemUuid: readText("/sys/class/dmi/id/product_uuid") || machineId,
    bootId: readText("/proc/sys/kernel/random/boot_id"),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)/m.exec(readText("/etc/os-release"))?.[1] ?? "Linux",
  };
}

/**
 * Memory and processes of the machine, and the disk that `dir` is on (the root's until it exists). Available is what the kernel
 * says that programs can have without swapping, with the files it would drop for them.
 */
export function readLoad(dir: string): MachineLoad {
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(readText("/proc/meminfo"))?.[1];
  const memoryBytes = totalmem();
  return {
    memoryBytes,
    memoryAvailableBytes: available === undefined ? memoryBytes : Number(available) * 1024,
    disk: readFileSystem(existsSync(dir) ? dir : "/"),
    processes: Number(readText("/proc/loadavg").split(" ")[3]?.split("/")[1] ?? 0),
    mostProcesses: Math.min(readCount("/proc/sys/kernel/pid_max"), readCount("/proc/sys/kernel/threads-max")),
  };
}

/** The kernel's own default where it does not say. */
function readCount(path: string): number {
  return Number(readText(path)) || 32_768;
}

/** The address others reach this machine at: that of the named interface, else of the default route. */
export function readAddress(interfaceName?: string): string {
  const all = networkInterfaces();
  const wanted = interfaceName || defaultInterface();
  const candidates = [...(all[wanted] ?? []), ...Object.values(all).flatMap((list) => list ?? [])];
  const found =
    candidates.find((one) => !one.internal && one.family === "IPv4") ??
    candidates.find((one) => !one.internal);
  return found?.address ?? "127.0.0.1";
}

function defaultInterface(): string {
  const routes = readText("/proc/net/route").split("\n").slice(1);
  const route = routes.map((line) => line.split("\t")).find((fields) => fields[1] === "00000000");
  return route?.[0] ?? "";
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    // Not on this kind of machine, or not for this user.
    return "";
  }
}
