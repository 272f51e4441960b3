import {
  closeSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";

/** Writes a file atomically: a reader finds the old content or all of the new. On disk when it returns. */
export function writeWhole(path: string, content: string | Uint8Array, mode = 0o600): void {
  stageFile(path, content, mode);
  commitFile(path);
}

/** The first half of `writeWhole`, for files that belong together: the content is on disk beside the file. */
export function stageFile(path: string, content: string | Uint8Array, mode = 0o600): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const staged = stagedName(path);
  // One that a crash left may have another owner's modes, or be a link.
  rmSync(staged, { force: true });
  const file = openSync(staged, "wx", mode);
  try {
    // The umask took bits away.
    fchmodSync(file, mode);
    writeAll(file, Buffer.from(content));
    fsyncSync(file);
  } catch (error) {
    rmSync(staged, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

/** The second half of `writeWhole`: the staged content takes the place of the file. */
export function commitFile(path: string): void {
  renameSync(stagedName(path), path);
  syncFolder(dirname(path));
}

export function stagedName(path: string): string {
  return `${path}.new`;
}

/** What was renamed, made or removed in a folder stays so after a loss of power. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Writes all of it, in as many calls as it takes. */
export function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
}
