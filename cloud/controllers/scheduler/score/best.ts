import type { NodeLoad, PodNeeds } from "#cloud/controllers/scheduler/load";
import { affinityScores } from "./affinity.ts";
import { imageScores } from "./images.ts";
import { nodePreferenceScores } from "./node-preference.ts";
import { reversedShares, shares } from "./normalized.ts";
import { resourceScores } from "./resources.ts";
import type { ScoredNodes } from "./scored-nodes.ts";
import { spreadScores } from "./spread.ts";
import { avoidedTaints } from "./taints.ts";

/**
 * The node with the highest score, then the fewest pods, then the first name; kube-scheduler picks one of equal ones at random.
 * Scores and weights are those of its default plugins.
 */
export function bestOf(
  needs: PodNeeds,
  loads: readonly NodeLoad[],
  cluster: ScoredNodes,
): string | undefined {
  const [first] = loads;
  if (!first || loads.length === 1) return first?.node.metadata.name;
  const totals = totalsOf(needs, loads, cluster);
  let best = { load: first, total: totals[0] ?? 0 };
  for (const [index, load] of loads.entries()) {
    const candidate = { load, total: totals[index] ?? 0 };
    if (isBetter(candidate, best)) best = candidate;
  }
  return best.load.node.metadata.name;
}

interface Candidate {
  readonly load: NodeLoad;
  readonly total: number;
}

function isBetter(a: Candidate, b: Candidate): boolean {
  if (a.total !== b.total) return a.total > b.total;
  const fewer = b.load.pods.size - a.load.pods.size;
  return fewer === 0 ? (a.load.node.metadata.name ?? "") < (b.load.node.metadata.name ?? "") : fewer > 0;
}

/** Undefined scores are the same for all nodes. */
function totalsOf(needs: PodNeeds, loads: readonly NodeLoad[], cluster: ScoredNodes): number[] {
  const weighted: readonly (readonly [number, readonly number[] | undefined])[] = [
    [1, resourceScores(needs, loads)],
    [1, imageScores(needs, loads, cluster.loads)],
    [2, shares(nodePreferenceScores(needs, loads))],
    [2, spreadScores(needs, loads, cluster.loads)],
    [2, affinityScores(needs, loads, cluster)],
    [3, reversedShares(avoidedTaints(needs, loads))],
  ];
  const totals = loads.map(() => 0);
  for (const [weight, scores] of weighted)
    if (scores)
      for (let index = 0; index < totals.length; index += 1)
        totals[index] = (totals[index] ?? 0) + weight * (scores[index] ?? 0);
  return totals;
}
