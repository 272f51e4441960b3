/** What a container has used and uses, as the kernel counts it. */
export interface ContainerUsage {
  /** Since its start, all processors together. */
  readonly cpuNanoseconds: number;
  /** Memory in use that cannot be taken back under pressure: usage without files that were not used lately. */
  readonly workingSetBytes: number;
  /** With the files that the kernel keeps in memory for it. */
  readonly usageBytes: number;
  /** Without files. */
  readonly rssBytes: number;
  readonly cacheBytes: number;
  /** Processes and threads now; absent where nobody counts them. */
  readonly processes?: number;
}

/** What a container takes of the disk. */
export interface ContainerDiskUsage {
  /** What it wrote outside of volumes. */
  readonly writableBytes: number;
  /** 0 where its logs are not on this machine. */
  readonly logBytes: number;
}

/** kubelet's and cAdvisor's working set (`setMemoryStats` of cAdvisor's container/libcontainer/handler.go). */
export function workingSet(usageBytes: number, inactiveFileBytes: number): number {
  return Math.max(0, usageBytes - inactiveFileBytes);
}
