import type { StatsFs } from "node:fs";

/** What a file system has, by statfs(2); what is kept for root does not count as available. */
export interface FileSystemAmounts {
  readonly capacityBytes: number;
  readonly availableBytes: number;
  readonly inodes: number;
  readonly freeInodes: number;
}

export function toFileSystemAmounts({ blocks, bavail, bsize, files, ffree }: StatsFs): FileSystemAmounts {
  return {
    capacityBytes: blocks * bsize,
    availableBytes: bavail * bsize,
    inodes: files,
    freeInodes: ffree,
  };
}
