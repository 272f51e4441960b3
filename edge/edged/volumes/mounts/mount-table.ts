import { readFileSync, readdirSync, realpathSync, rmdirSync, rmSync, unlinkSync, type Dirent } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { AppError, errorCodeOf } from "#shared/errors";
import type { Clock } from "#shared/clock";
import { runTool } from "./tool.ts";

/** Where something is mounted, as edgecore sees it, the latest last. */
export function mountPoints(): string[] {
  try {
    return readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter(Boolean).map(pointOf);
  } catch (error) {
    if (errorCodeOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Those of file servers. */
function networkPoints(): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter(Boolean);
  return lines.filter((line) => / - nfs4? /.test(line)).map(pointOf);
}

/** The fifth field, with blanks and the like written as `\040`. */
function pointOf(line: string): string {
  return (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Whether something is mounted at a path, links on the way to it resolved. */
export function isMounted(path: string): boolean {
  return mountPoints().includes(realpathSync(path));
}

/** Unmounts a path at once; a mount in use is detached and ends with its last user (umount -l). */
function unmountNow(path: string): void {
  for (const options of [[], ["-l"]]) {
    // A pin may be of a file server that hangs.
    Bun.spawnSync(["umount", ...options, path], { timeout: pinMs, killSignal: "SIGKILL" });
    if (!mountPoints().includes(path)) return;
  }
  throw notUnmounted(path);
}

/** Pins are of moments: they have nothing to write. */
const pinMs = 5000;
/** What was written is on its way to a file server still. */
const unmountMs = 30_000;

/** The same without holding up others. What a file server that hangs does not let go of is detached by force (umount -f -l). */
async function unmount(path: string, clock: Clock): Promise<void> {
  const last = networkPoints().includes(path) ? ["-f", "-l"] : ["-l"];
  for (const options of [[], last]) {
    await runTool(["umount", ...options, path], { clock, limitMs: unmountMs });
    if (!mountPoints().includes(path)) return;
  }
  throw notUnmounted(path);
}

function notUnmounted(path: string): AppError {
  return new AppError("unmount", `Cannot unmount ${JSON.stringify(path)}`);
}

/**
 * Removes everything of a pod, and nothing that is only mounted there: while a mount is left nothing is deleted. Links
 * are removed, never followed.
 */
export async function removePodDir(dir: string, clock: Clock): Promise<void> {
  const real = join(realpathSync(dirname(dir)), basename(dir));
  const inside = (path: string): boolean => path.startsWith(real + sep);
  for (const point of mountPoints().filter(inside).toReversed()) await unmount(point, clock);
  const [left] = mountPoints().filter(inside);
  if (left !== undefined) throw notUnmounted(left);
  const options = { recursive: true, force: true } as const;
  if (hasFewFiles(real)) rmSync(real, options);
  // A pod may have left a million of them: meanwhile everything else goes on.
  else await rm(real, options);
}

/** As many are removed within some milliseconds. */
const fewFiles = 1000;

function hasFewFiles(dir: string): boolean {
  const open = [dir];
  let count = 0;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const entries = readEntries(next);
    count += entries.length;
    if (count > fewFiles) return false;
    for (const entry of entries) if (entry.isDirectory()) open.push(join(next, entry.name));
  }
  return true;
}

function readEntries(dir: string): Dirent[] {
  try {
    return readdirSync(dir, { withFileTypes: true });
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errorCodeOf(error) ?? "")) return [];
    throw error;
  }
}

/** Removes one mount point: never what is in it. */
export function releasePoint(path: string): void {
  if (mountPoints().includes(path)) unmountNow(path);
  try {
    rmdirSync(path);
  } catch (error) {
    const code = errorCodeOf(error);
    if (code === "ENOENT") return;
    if (code !== "ENOTDIR") throw error;
    unlinkSync(path);
  }
}

/** Mounts that an edgecore which was killed left behind. */
export function releaseAll(dir: string, onFailure: (path: string, error: unknown) => void): void {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    try {
      releasePoint(path);
    } catch (error) {
      onFailure(path, error);
    }
  }
}
