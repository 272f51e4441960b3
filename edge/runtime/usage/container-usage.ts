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
}

/** kubelet's and cAdvisor's working set (`setMemoryStats` of cAdvisor's container/libcontainer/handler.go). */
export function workingSet(usageBytes: number, inactiveFileBytes: number): number {
  return Math.max(0, usageBytes - inactiveFileBytes);
}
