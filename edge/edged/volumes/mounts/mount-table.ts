import { readdirSync, realpathSync, rmSync, type Dirent } from "node:fs";
import { readdir, readFile, rm, rmdir, unlink } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { AppError, errorCodeOf } from "#shared/errors";
import type { Clock } from "#shared/clock";
import { runTool } from "./tool.ts";

/** Reads `/proc/self/mountinfo`: a line for each mount, the latest last. */
export type ReadMounts = () => Promise<readonly string[]>;

/** Where something is mounted, as edgecore sees it, the latest last. */
export async function mountPoints(read: ReadMounts = readMounts): Promise<string[]> {
  return (await read()).map(pointOf);
}

/** In a thread: while engines mount and unmount, the kernel makes a reader of this file wait, a second and more. */
export async function readMounts(): Promise<string[]> {
  try {
    return (await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter(Boolean);
  } catch (error) {
    if (errorCodeOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** The fifth field, with blanks and the like written as `\040`. */
function pointOf(line: string): string {
  return (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** What was written is on its way to a file server still. */
const unmountMs = 30_000;

export interface RemovalTools {
  readonly clock: Clock;
  /** Reads what is mounted in another way; for tests. */
  readonly readMounts?: ReadMounts | undefined;
}

/** Unmounts a path. What a file server that hangs does not let go of is detached by force (umount -f -l). */
async function unmount(path: string, clock: Clock): Promise<void> {
  if ((await runTool(["umount", path], { clock, limitMs: unmountMs })) === undefined) return;
  const isServed = (await readMounts()).some((line) => / - nfs4? /.test(line) && pointOf(line) === path);
  const options = isServed ? ["-f", "-l"] : ["-l"];
  await runTool(["umount", ...options, path], { clock, limitMs: unmountMs });
}

function notUnmounted(path: string): AppError {
  return new AppError("unmount", `Cannot unmount ${JSON.stringify(path)}`);
}

/**
 * Removes everything of a pod, and nothing that is only mounted there: while a mount is left nothing is deleted. Links
 * are removed, never followed.
 */
export async function removePodDir(dir: string, tools: RemovalTools): Promise<void> {
  const real = join(realpathSync(dirname(dir)), basename(dir));
  const inside = async (): Promise<string[]> =>
    (await mountPoints(tools.readMounts)).filter((path) => path.startsWith(real + sep));
  const mounted = await inside();
  for (const point of mounted.toReversed()) await unmount(point, tools.clock);
  const [left] = mounted.length > 0 ? await inside() : [];
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

/** Removes one mount point: never what is in it. A mount in use is detached, and ends with its last user. */
export async function releasePoint(path: string, clock: Clock): Promise<void> {
  // No mount point can be removed (EBUSY), and removing costs less than to ask whether it is one.
  for (const options of [undefined, [], ["-l"]]) {
    if (options) await runTool(["umount", ...options, path], { clock, limitMs: pinMs });
    if (await removeEmpty(path)) return;
  }
  throw notUnmounted(path);
}

/** Pins are of moments, and have nothing to write; one may be of a file server that hangs. */
const pinMs = 5000;

/** @returns false for a mount point */
async function removeEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
  } catch (error) {
    const code = errorCodeOf(error);
    if (code === "ENOTDIR") return removeFile(path);
    if (code === "EBUSY") return false;
    if (code !== "ENOENT") throw error;
  }
  return true;
}

async function removeFile(path: string): Promise<boolean> {
  try {
    await unlink(path);
  } catch (error) {
    if (errorCodeOf(error) === "EBUSY") return false;
    throw error;
  }
  return true;
}

/** Mounts that an edgecore which was killed left behind. */
export async function releaseAll(
  dir: string,
  clock: Clock,
  onFailure: (path: string, error: unknown) => void,
): Promise<void> {
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    try {
      await releasePoint(path, clock);
    } catch (error) {
      onFailure(path, error);
    }
  }
}
