import { closeSync, constants, fstatSync, openSync, readSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { mkdirSync } from "node:fs";
import { Directory } from "./directory.ts";

const mostBytes = 4096;

/** Makes the file a container may leave its last words in; a file of an earlier attempt makes way. */
export function makeTerminationLog(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true });
  using dir = Directory.open(dirname(path));
  dir.write(path.slice(dirname(path).length + 1), new Uint8Array(), { mode: 0o666 });
}

/** The end of what a container left in its termination log, at most 4 KiB however large it is. */
export function readTerminationLog(path: string): string | undefined {
  const fd = openFile(path);
  if (fd === undefined) return undefined;
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, mostBytes));
    const read = readSync(fd, bytes, 0, bytes.length, Math.max(0, size - mostBytes));
    const text = bytes.subarray(0, read).toString().trimEnd();
    return text === "" ? undefined : text;
  } finally {
    closeSync(fd);
  }
}

function openFile(path: string): number | undefined {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
  try {
    const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fstatSync(fd).isFile()) return fd;
    closeSync(fd);
  } catch {
    // Without a log there are no last words.
  }
  return undefined;
}
