import { statfsSync, type StatsFs } from "node:fs";

/** What a file system has, by statfs(2); what is kept for root does not count as available. */
export interface FileSystemAmounts {
  readonly capacityBytes: number;
  readonly availableBytes: number;
  readonly inodes: number;
  readonly freeInodes: number;
}

/** Of the file system that a directory is on. Not for what a file server may hold up. @throws when there is none */
export function readFileSystem(dir: string): FileSystemAmounts {
  return toFileSystemAmounts(statfsSync(dir));
}

export function toFileSystemAmounts({ blocks, bavail, bsize, files, ffree }: StatsFs): FileSystemAmounts {
  return {
    capacityBytes: blocks * bsize,
    availableBytes: bavail * bsize,
    inodes: files,
    freeInodes: ffree,
  };
}
