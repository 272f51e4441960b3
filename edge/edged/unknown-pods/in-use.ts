import { readdirSync, readlinkSync } from "node:fs";

/** Whether a process of this machine, other than this one, has a file below a directory open. */
export function isInUse(dir: string): boolean {
  const inside = `${dir}/`;
  return list("/proc")
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .some((pid) => list(`/proc/${pid}/fd`).some((fd) => target(`/proc/${pid}/fd/${fd}`).startsWith(inside)));
}

/** Processes end and files are closed meanwhile. */
function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function target(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return "";
  }
}
