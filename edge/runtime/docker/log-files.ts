import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { CountedLog } from "#edge/runtime/usage";

/**
 * Files of the log of a container that the driver `json-file` keeps: the current one, and `.1` and so on of those that were rotated,
 * over whose gaps it goes. None where the engine's directory is not of this machine.
 */
export function logFilesOf(rootDir: string, id: string): CountedLog[] {
  const current = `${id}-json.log`;
  const folder = join(rootDir, "containers", id);
  return readNames(folder)
    .filter((name) => name.startsWith(current))
    .flatMap((name) => {
      const path = join(folder, name);
      const found = statSync(path, { throwIfNoEntry: false });
      if (!found) return [];
      return [{ path, bytes: found.size, changedAtMs: found.mtimeMs, isCurrent: name === current }];
    });
}

function readNames(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // The container was removed just now, or the directory is not of this machine, or not for this user.
    return [];
  }
}
