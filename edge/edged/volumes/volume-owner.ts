import { chmodSync, chownSync, closeSync, fstatSync, type Stats } from "node:fs";
import { nextTurn } from "#shared/clock";
import { Directory } from "#edge/edged/volumes/held-paths";

/** Levels of directories: deeper ones keep their group. Each level holds a file descriptor. */
const mostLevels = 64;
/** Entries between which other work has its turn. */
const entriesATurn = 256;

/** Bits that a group needs of files and of directories, where new files get the group too (volume_linux.go of kubelet). */
const fileBits = 0o660;
const folderBits = 0o2770;

interface Walk {
  readonly gid: number;
  entries: number;
}

/**
 * Gives a volume to the group of a pod, as kubelet's SetVolumeOwnership: everything in it, or nothing where `OnRootMismatch`
 * finds the directory itself as it should be. Links are neither followed nor changed.
 */
export async function ownVolume(path: string, gid: number, policy: string | undefined): Promise<void> {
  using root = Directory.open(path);
  if (policy === "OnRootMismatch" && isOwned(root.stat(), gid)) return;
  await ownFolder(root, { gid, entries: 0 }, 1);
}

async function ownFolder(folder: Directory, walk: Walk, level: number): Promise<void> {
  for (const name of folder.names()) {
    walk.entries += 1;
    if (walk.entries % entriesATurn === 0) await nextTurn();
    const found = folder.find(name);
    // A pod that has the volume may remove or replace what was just listed.
    if (!found || found.isSymbolicLink()) continue;
    if (!found.isDirectory()) ownFile(folder, name, walk.gid);
    else if (level < mostLevels) {
      using inner = folder.enter(name);
      await ownFolder(inner, walk, level + 1);
    }
  }
  // The directory comes last: with `OnRootMismatch` it says that the rest is done.
  if (!isOwned(folder.stat(), walk.gid))
    folder.set({ gid: walk.gid, mode: bitsOf(folder.stat()) | folderBits });
}

function ownFile(folder: Directory, name: string, gid: number): void {
  const fd = folder.hold(name);
  try {
    const stats = fstatSync(fd);
    const mode = bitsOf(stats) | fileBits;
    const path = `/proc/self/fd/${fd}`;
    if (stats.gid !== gid) chownSync(path, stats.uid, gid);
    // A change of owner clears bits.
    if (stats.gid !== gid || bitsOf(stats) !== mode) chmodSync(path, mode);
  } finally {
    closeSync(fd);
  }
}

function isOwned(stats: Stats, gid: number): boolean {
  return stats.gid === gid && (bitsOf(stats) & folderBits) === folderBits;
}

function bitsOf({ mode }: Stats): number {
  return mode & 0o7777;
}
