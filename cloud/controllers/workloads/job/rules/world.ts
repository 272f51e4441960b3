import type { Job } from "#cloud/controllers/framework";
import type { Pod } from "#shared/kube";
import type { Indexes } from "./indexes.ts";
import type { JobPods } from "./job-pods.ts";
import type { Tally } from "./tally.ts";

/** What a run decides by. */
export interface JobWorld {
  readonly job: Job;
  readonly pods: JobPods;
  readonly tally: Tally;
  /** Indexes that have failed for good, of a Job with a limit for each. */
  readonly failedIndexes: Indexes;
  readonly nowMs: number;
}

/** A pod to be created; the index is that of an Indexed Job. */
export interface NewPod {
  readonly index?: number;
  /** The failed pod that it replaces, of a Job with a limit for each index. */
  readonly replaced?: Pod;
}

export interface PodPlan {
  readonly create: readonly NewPod[];
  /** Surplus pods; that they end is no failure. */
  readonly remove: readonly Pod[];
  /** Milliseconds after which more may be created. */
  readonly waitMs?: number;
}
