import { readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Bytes of a log and of those files it was rotated into (`<path>.1`, …); 0 where there are none on this machine. */
export function logSize(path: string): number {
  try {
    const names = readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path)));
    return names.reduce((sum, name) => sum + statSync(join(dirname(path), name)).size, 0);
  } catch {
    // The engine is another machine's, or the log was rotated just now.
    return 0;
  }
}
