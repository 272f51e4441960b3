import { mkdirSync } from "node:fs";
import { needs } from "#internal/test/support/needs.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** Whether this user may mount a disk in memory; tests of a full disk are skipped otherwise. */
export function hasSmallDisks(): boolean {
  using dir = tempDir("disk");
  const isMounted = mount(dir.path, "64k");
  if (isMounted) unmount(dir.path);
  return needs({ "root and tmpfs": isMounted });
}

/**
 * A disk in memory of a given size ("16m"), mounted at `folder`, which is made when absent; disposing unmounts it.
 * @throws where `hasSmallDisks` is false
 */
export function smallDisk(folder: string, size: string): Disposable {
  mkdirSync(folder, { recursive: true });
  if (!mount(folder, size)) throw new Error(`Cannot mount a tmpfs at ${folder}`);
  return { [Symbol.dispose]: () => unmount(folder) };
}

function mount(folder: string, size: string): boolean {
  return Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder]).success;
}

/** Lazily: a process that was killed may still have a file of it open. */
function unmount(folder: string): void {
  Bun.spawnSync(["umount", "-l", folder]);
}
