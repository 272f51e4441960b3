import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What the system takes as the path of a Unix socket. */
const longestPath = 100;

/** A place for a Unix socket that only this user can reach: below a folder of ours, or a temporary one when its path is too long. */
export function socketPath(folder: string | undefined, name: string): Disposable & { readonly path: string } {
  const path = join(folder ?? "", "run", name);
  if (folder === undefined || Buffer.byteLength(path) > longestPath) return temporaryPath(name);
  const run = join(folder, "run");
  mkdirSync(run, { recursive: true, mode: 0o700 });
  chmodSync(run, 0o700);
  // Left over from a process that was killed; two processes never share the folder.
  rmSync(path, { force: true });
  return { path, [Symbol.dispose]: () => rmSync(path, { force: true }) };
}

function temporaryPath(name: string): Disposable & { readonly path: string } {
  const folder = mkdtempSync(join(tmpdir(), "kubeedge-"));
  return {
    path: join(folder, name),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
