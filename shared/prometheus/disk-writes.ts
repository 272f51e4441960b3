import { readFileSync } from "node:fs";

/** What a process caused to be written to disks. */
export interface DiskWrites {
  /** As the kernel counts them: whole pages, also when few bytes of one changed. */
  readonly bytes: number;
  /** Since its start. */
  readonly seconds: number;
}

/** Of times in /proc, for every architecture: proc(5). */
const ticksASecond = 100;
/** Fields of /proc/PID/stat after the name in parentheses, which may contain anything. */
const startField = 19;

/** @param pid undefined: this process. @returns undefined where the kernel does not tell it, or not to this user */
export function readDiskWrites(pid?: number): DiskWrites | undefined {
  const folder = `/proc/${pid ?? "self"}`;
  try {
    const bytes = /^write_bytes: (\d+)$/m.exec(readFileSync(`${folder}/io`, "utf8"))?.[1];
    const stat = readFileSync(`${folder}/stat`, "utf8");
    const started = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[startField]) / ticksASecond;
    const seconds = Number.parseFloat(readFileSync("/proc/uptime", "utf8")) - started;
    return bytes === undefined ? undefined : { bytes: Number(bytes), seconds: Math.max(1, seconds) };
  } catch {
    // Another user's process, or one that ended.
    return undefined;
  }
}
