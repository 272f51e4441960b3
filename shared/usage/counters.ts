/** What a node and its running containers have used until now, as their kernel counts it. */
export interface UsageCounters {
  /** By a clock that never goes back. */
  readonly atMs: number;
  readonly node: UsedResources;
  readonly containers: readonly ContainerCounters[];
}

export interface UsedResources {
  /** All processors together, since the start. */
  readonly cpuNanoseconds: number;
  /** Memory in use that cannot be taken back under pressure. */
  readonly workingSetBytes: number;
}

export interface ContainerCounters extends UsedResources {
  /** Another one after each restart. */
  readonly id: string;
  readonly container: string;
  readonly pod: string;
  readonly namespace: string;
  readonly podUid: string;
  /** With the files that the kernel keeps in memory for it. */
  readonly usageBytes: number;
  /** Without files. */
  readonly rssBytes: number;
  readonly cacheBytes: number;
  /** Processes and threads now; absent where nobody counts them. */
  readonly processes?: number;
}
