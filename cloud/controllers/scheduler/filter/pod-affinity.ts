import type { Node } from "#shared/kube";
import {
  DomainCounts,
  type AffinityRule,
  type NamespaceLabels,
  type NodeLoad,
  type PodNeeds,
} from "#cloud/controllers/scheduler/load";

/** What of pod affinity decides about nodes for one pod. */
export interface PodAffinityState {
  readonly near: readonly AffinityRule[];
  readonly apart: readonly AffinityRule[];
  /** Domains with pods that all terms of `near` are about. */
  readonly nearCounts: DomainCounts;
  /** Domains with pods that a term of `apart` is about, by the term's key. */
  readonly apartCounts: DomainCounts;
  /** Domains with pods that do not want this one. */
  readonly refused: DomainCounts;
  /** The first of a group that wants to be together: no pod matches yet, but this one does. */
  readonly isFirst: boolean;
}

export const affinityTexts = {
  near: "node(s) didn't match pod affinity rules",
  apart: "node(s) didn't match pod anti-affinity rules",
  refused: "node(s) didn't satisfy existing pods anti-affinity rules",
} as const;

type Labels = Readonly<Record<string, string>>;

/** Undefined when pod affinity does not matter for the pod. Follows the InterPodAffinity plugin of kube-scheduler. */
export function podAffinityOf(
  needs: PodNeeds,
  loads: readonly NodeLoad[],
  namespaceLabels: NamespaceLabels,
): PodAffinityState | undefined {
  const { near, avoids: apart } = needs;
  const refused = refusedDomains(needs, loads, namespaceLabels);
  if (near.length + apart.length === 0 && refused.isEmpty) return undefined;
  const isNear = (other: PodNeeds): boolean => near.every(({ matches }) => matches(other, namespaceLabels));
  const nearCounts = new DomainCounts();
  const keys = near.map(({ topologyKey }) => topologyKey);
  if (near.length > 0) countPods(loads, keys, { matches: isNear, counts: nearCounts });
  const apartCounts = new DomainCounts();
  for (const { topologyKey, matches } of apart) {
    const isApart = (other: PodNeeds): boolean => matches(other, namespaceLabels);
    countPods(loads, [topologyKey], { matches: isApart, counts: apartCounts });
  }
  return { near, apart, nearCounts, apartCounts, refused, isFirst: nearCounts.isEmpty && isNear(needs) };
}

/** Counts the pods that match in the domains of their nodes. */
function countPods(
  loads: readonly NodeLoad[],
  keys: readonly string[],
  { matches, counts }: { readonly matches: (other: PodNeeds) => boolean; readonly counts: DomainCounts },
): void {
  for (const { labels, looks } of loads) {
    let count = 0;
    for (const { sample, count: alike } of looks.values()) if (matches(sample)) count += alike;
    if (count > 0) for (const key of keys) counts.add(key, labels, count);
  }
}

function refusedDomains(
  needs: PodNeeds,
  loads: readonly NodeLoad[],
  namespaceLabels: NamespaceLabels,
): DomainCounts {
  const refused = new DomainCounts();
  const isAbout = ({ matches }: AffinityRule): boolean => matches(needs, namespaceLabels);
  for (const { labels, wishes } of loads)
    for (const { sample } of wishes.values())
      for (const { topologyKey } of sample.avoids.filter(isAbout)) refused.add(topologyKey, labels);
  return refused;
}

/** Why a node does not satisfy pod affinity, undefined when it does. */
export function affinityObstacle(
  { near, apart, nearCounts, apartCounts, refused, isFirst }: PodAffinityState,
  { metadata }: Node,
): string | undefined {
  const labels: Labels = metadata.labels ?? {};
  const isNear = near.every(
    ({ topologyKey }) =>
      labels[topologyKey] !== undefined && (isFirst || nearCounts.of(topologyKey, labels) > 0),
  );
  if (!isNear) return affinityTexts.near;
  if (apart.some(({ topologyKey }) => apartCounts.of(topologyKey, labels) > 0)) return affinityTexts.apart;
  return refused.touches(labels) ? affinityTexts.refused : undefined;
}
