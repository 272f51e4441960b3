import { readFileSync, readdirSync, realpathSync, rmdirSync, rmSync, unlinkSync, type Dirent } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { AppError } from "#shared/errors";
import { isErrno } from "./directory.ts";

/** Where something is mounted, as edgecore sees it, the latest last. */
export function mountPoints(): string[] {
  try {
    return readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter(Boolean).map(pointOf);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
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

/** Unmounts a path; a mount in use is detached at once and ends with its last user (umount -l). */
export function unmount(path: string): void {
  for (const options of [[], ["-l"]]) {
    Bun.spawnSync(["umount", ...options, path]);
    if (!mountPoints().includes(path)) return;
  }
  throw new AppError("unmount", `Cannot unmount ${JSON.stringify(path)}`);
}

/**
 * Removes everything of a pod, and nothing that is only mounted there: while a mount is left nothing is deleted. Links
 * are removed, never followed.
 */
export async function removePodDir(dir: string): Promise<void> {
  const real = join(realpathSync(dirname(dir)), basename(dir));
  const inside = (path: string): boolean => path.startsWith(real + sep);
  for (const point of mountPoints().filter(inside).toReversed()) unmount(point);
  const left = mountPoints().filter(inside);
  if (left.length > 0) throw new AppError("unmount", `Cannot unmount ${JSON.stringify(left[0])}`);
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
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** Removes one mount point: never what is in it. */
export function releasePoint(path: string): void {
  if (mountPoints().includes(path)) unmount(path);
  try {
    rmdirSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    if (!isErrno(error, "ENOTDIR")) throw error;
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
