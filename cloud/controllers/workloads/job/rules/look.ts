import type { Job } from "#cloud/controllers/framework";
import type { Pod } from "#shared/kube";
import { sortPods } from "./job-pods.ts";
import { failedIndexesOf, heldPods } from "./per-index.ts";
import { tallyPods } from "./tally.ts";
import { judge, type Verdict } from "./verdict.ts";
import type { JobWorld } from "./world.ts";

/** Where a Job stands. Once it is to end, every finished pod counts. */
export function lookAt(
  job: Job,
  all: readonly Pod[],
  nowMs: number,
): { readonly world: JobWorld; readonly verdict: Verdict | undefined } {
  const pods = sortPods(all);
  const failedIndexes = failedIndexesOf(job, pods);
  const held = new Set(heldPods(job, pods, failedIndexes).values());
  const world = { job, pods, failedIndexes, nowMs, tally: tallyPods(job, pods, held) };
  const verdict = judge(world);
  return { world: verdict && held.size > 0 ? { ...world, tally: tallyPods(job, pods) } : world, verdict };
}
