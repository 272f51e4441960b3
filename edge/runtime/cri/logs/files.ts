import { readdirSync, rmdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { errorCodeOf } from "#shared/errors";
import type { CountedLog } from "#edge/runtime/usage";

/** What has been rotated of a log is beside it, with the time of the rotation as kubelet writes it. */
const rotatedName = /^\.\d{8}-\d{6}$/;

export interface LogFile {
  readonly path: string;
  readonly inode: number;
  readonly size: number;
  readonly changedAtMs: number;
}

/** The file to which a log is rotated, by time: `<path>.20060102-150405`. */
export function rotatedPath(path: string, nowMs: number): string {
  const [date = "", time = ""] = new Date(nowMs).toISOString().slice(0, 19).split("T");
  return `${path}.${date.replaceAll("-", "")}-${time.replaceAll(":", "")}`;
}

/** Paths of what has been rotated of a log, the oldest first. */
export function rotatedFiles(path: string): string[] {
  const name = basename(path);
  const found = readNames(dirname(path)).filter(
    (one) => one.startsWith(name) && rotatedName.test(one.slice(name.length)),
  );
  return found.toSorted().map((one) => join(dirname(path), one));
}

/** All files of a log that there are, the oldest first. */
export function logFiles(path: string): LogFile[] {
  return [...rotatedFiles(path), path].flatMap((one) => statFile(one) ?? []);
}

/** The same, as they count towards the bound of the logs of all containers. */
export function countedLogs(path: string): CountedLog[] {
  return logFiles(path).map((file) => ({
    path: file.path,
    bytes: file.size,
    changedAtMs: file.changedAtMs,
    isCurrent: file.path === path,
  }));
}

/** Undefined for one that is not there. */
export function statFile(path: string): LogFile | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found && { path, inode: found.ino, size: found.size, changedAtMs: found.mtimeMs };
}

/** Removes a log with what was rotated of it, and the directories of the container and the pod once they are empty. */
export function removeLog(path: string): void {
  if (path === "") return;
  for (const file of [...rotatedFiles(path), path]) rmSync(file, { force: true });
  for (const dir of [dirname(path), dirname(dirname(path))])
    try {
      rmdirSync(dir);
    } catch {
      // Other logs are in it.
      return;
    }
}

function readNames(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (errorCodeOf(error) === "ENOENT") return [];
    throw error;
  }
}
