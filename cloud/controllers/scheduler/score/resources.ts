import type { NodeLoad, PodNeeds } from "#cloud/controllers/scheduler/load";
import { mostScore } from "./normalized.ts";

const scored = ["cpu", "memory"] as const;

/**
 * The share of cpu and memory that stays free, as NodeResourcesFit with LeastAllocated, and how evenly they are used, as
 * NodeResourcesBalancedAllocation: both in one pass, as every node gets them.
 */
export function resourceScores(needs: PodNeeds, loads: readonly NodeLoad[]): number[] {
  const isAsking = needs.amounts.has("cpu") || needs.amounts.has("memory");
  return loads.map((load) => freeScore(needs, load) + (isAsking ? balanceScore(needs, load) : 0));
}

function freeScore(needs: PodNeeds, { capacity, estimates }: NodeLoad): number {
  let sum = 0;
  let count = 0;
  for (const resource of scored) {
    const total = capacity.get(resource) ?? 0;
    if (total <= 0) continue;
    const free = total - estimates[resource] - needs.estimates[resource];
    sum += Math.floor(Math.max(0, (free * mostScore) / total));
    count += 1;
  }
  return count === 0 ? 0 : Math.floor(sum / count);
}

function balanceScore(needs: PodNeeds, load: NodeLoad): number {
  const deviation = Math.abs(usedShare("cpu", needs, load) - usedShare("memory", needs, load)) / 2;
  return Math.floor((1 - (Number.isNaN(deviation) ? 0 : deviation)) * mostScore);
}

/** NaN when the node has none to give. */
function usedShare(resource: string, { amounts }: PodNeeds, load: NodeLoad): number {
  const total = load.capacity.get(resource) ?? 0;
  const used = (load.amounts.get(resource) ?? 0) + (amounts.get(resource) ?? 0);
  return total > 0 ? Math.min(1, used / total) : Number.NaN;
}
