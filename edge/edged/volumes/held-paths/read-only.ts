import { ptr } from "bun:ffi";
import { closeSync, statSync } from "node:fs";
import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import { openLibc } from "#shared/libc";
import { releasePoint } from "#edge/edged/volumes/mounts";
import { makePoint } from "./point.ts";
import type { Pin } from "./sub-path.ts";

/** Of Linux 5.12 and later, the same on all machines (`linux/mount.h`, `asm-generic/unistd.h`). */
const linux = {
  openTree: 428n,
  moveMount: 429n,
  mountSetattr: 442n,
  currentDir: -100n,
  clone: 1n,
  closeOnExec: 0o2_000_000n,
  recursive: 0x8000n,
  emptyPath: 0x1000n,
  moveEmptyPath: 4n,
  readOnly: 1n,
  private: 1n << 18n,
} as const;

const functions = {
  syscall: { args: ["i64", "i64", "i64", "i64", "i64", "i64"], returns: "i64" },
} as const;

/**
 * Mounts a copy of a path, with all that is mounted below, at a place of our own, where nothing of it can be written. Engines that make
 * only the top of a mount read-only give a container the rest as it is here. The copy is of one group with nobody: unmounting it
 * later unmounts nothing else. @throws AppError, on a kernel before 5.12 too
 */
export function pinReadOnly(root: string, pinsDir: string, clock: Clock): Pin {
  const calls = new MountCalls();
  const tree = calls.cloneTree(root);
  try {
    calls.makeReadOnly(tree);
    const path = makePoint(pinsDir, statSync(root).isDirectory() ? "directory" : "file");
    calls.attach(tree, path);
    return { path, [Symbol.asyncDispose]: () => releasePoint(path, clock) };
  } finally {
    closeSync(tree);
  }
}

/** The system calls for mounts that are not attached yet, which no program of util-linux 2.38 makes. */
class MountCalls {
  readonly #libc = openLibc(functions);

  cloneTree(path: string): number {
    const { openTree, currentDir, clone, closeOnExec, recursive } = linux;
    const name = textOf(path);
    return Number(this.#call("open_tree", [openTree, currentDir, at(name), clone | closeOnExec | recursive]));
  }

  /** The whole tree, which gets no mounts of others any more. */
  makeReadOnly(tree: number): void {
    const { mountSetattr, emptyPath, recursive, readOnly } = linux;
    const attributes = new BigUint64Array([readOnly, 0n, linux.private, 0n]);
    const size = BigInt(attributes.byteLength);
    const flags = emptyPath | recursive;
    this.#call("mount_setattr", [mountSetattr, BigInt(tree), at(textOf("")), flags, at(attributes), size]);
  }

  attach(tree: number, path: string): void {
    const { moveMount, currentDir, moveEmptyPath } = linux;
    const names = [textOf(""), textOf(path)] as const;
    this.#call("move_mount", [
      moveMount,
      BigInt(tree),
      at(names[0]),
      currentDir,
      at(names[1]),
      moveEmptyPath,
    ]);
  }

  #call(name: string, [number = 0n, ...words]: readonly bigint[]): bigint {
    const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n] = words;
    const found = this.#libc.symbols.syscall(number, a, b, c, d, e);
    if (found < 0n)
      throw new AppError("read-only-tree", `${name} failed: it needs root, and Linux 5.12 or later`);
    return found;
  }
}

function textOf(text: string): Uint8Array {
  return Buffer.from(`${text}\0`);
}

function at(bytes: Uint8Array | BigUint64Array): bigint {
  return BigInt(ptr(bytes));
}
