import { closeSync, constants, fstatSync, mkdirSync, openSync, readSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Directory } from "#edge/edged/volumes/held-paths";

/** kubelet: MaxContainerTerminationMessageLength. */
const mostBytes = 4096;

/** Each attempt of a container has its own. */
export function terminationLogPath(podDir: string, container: string, attempt: number): string {
  return join(podDir, "containers", container, `${attempt}.log`);
}

/** Creates the file a container may write its termination message to; a file of an earlier attempt is replaced. */
export function makeTerminationLog(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true });
  using dir = Directory.open(dirname(path));
  dir.write(basename(path), new Uint8Array(), { mode: 0o666 });
}

/** The end of what a container left in its termination log, at most 4 KiB however large it is. */
export function readTerminationLog(path: string): string | undefined {
  try {
    const text = readEnd(path)?.trimEnd();
    return text === "" ? undefined : text;
  } catch {
    // Without a readable file there is no message.
    return undefined;
  }
}

function readEnd(path: string): string | undefined {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const found = fstatSync(fd);
    if (!found.isFile()) return undefined;
    const bytes = Buffer.alloc(Math.min(found.size, mostBytes));
    const read = readSync(fd, bytes, 0, bytes.length, Math.max(0, found.size - mostBytes));
    return bytes.subarray(0, read).toString();
  } finally {
    closeSync(fd);
  }
}
