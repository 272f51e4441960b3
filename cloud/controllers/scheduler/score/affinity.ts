import {
  DomainCounts,
  type NamespaceLabels,
  type NodeLoad,
  type PodNeeds,
} from "#cloud/controllers/scheduler/load";
import { mostScore } from "./normalized.ts";
import type { ScoredNodes } from "./scored-nodes.ts";

/** What a pod with required affinity that is there already counts for one that it wants near it. */
const requiredWeight = 1;

/**
 * What the pod wants near it or not, and what pods that are there want of it: the weights of all terms, by domain, brought to
 * 0 … 100. Undefined when nobody has a preference. As the scores of InterPodAffinity.
 */
export function affinityScores(
  needs: PodNeeds,
  fitting: readonly NodeLoad[],
  { loads, namespaceLabels }: ScoredNodes,
): number[] | undefined {
  const weights = new DomainCounts();
  for (const load of loads) addWeights(weights, needs, { load, namespaceLabels });
  if (weights.isEmpty) return undefined;
  const sums = fitting.map(({ labels }) => weights.sum(labels));
  const least = sums.reduce((a, b) => Math.min(a, b), Infinity);
  const range = sums.reduce((a, b) => Math.max(a, b), -Infinity) - least;
  return range === 0 ? undefined : sums.map((sum) => Math.floor((mostScore * (sum - least)) / range));
}

function addWeights(
  weights: DomainCounts,
  needs: PodNeeds,
  { load, namespaceLabels }: { readonly load: NodeLoad; readonly namespaceLabels: NamespaceLabels },
): void {
  const { labels, looks, wishes } = load;
  for (const { topologyKey, matches, weight } of needs.prefers) {
    let count = 0;
    for (const { sample, count: alike } of looks.values())
      if (matches(sample, namespaceLabels)) count += alike;
    if (count > 0) weights.add(topologyKey, labels, weight * count);
  }
  for (const { sample, count } of wishes.values()) {
    for (const { topologyKey, matches, weight } of sample.prefers)
      if (matches(needs, namespaceLabels)) weights.add(topologyKey, labels, weight * count);
    for (const { topologyKey, matches } of sample.near)
      if (matches(needs, namespaceLabels)) weights.add(topologyKey, labels, requiredWeight * count);
  }
}
