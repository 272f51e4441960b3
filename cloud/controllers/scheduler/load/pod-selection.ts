import {
  matchesLabelSelector,
  meetsLabelExpressions,
  type Affinity,
  type LabelSelector,
  type PodAffinityTerm,
} from "#shared/kube";

/** What selectors see of a pod. */
export interface LabeledPod {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** The labels of a namespace, for terms that select namespaces by them. */
export type NamespaceLabels = (namespace: string) => Readonly<Record<string, string>>;

/** Whether a term of pod affinity that `owner` has is about another pod. */
export type TermMatcher = (other: LabeledPod, namespaceLabels: NamespaceLabels) => boolean;

/** Which pods a term is about; as framework.AffinityTerm. Without namespaces it is about those of its owner's namespace. */
function termMatcher(term: PodAffinityTerm, owner: LabeledPod): TermMatcher {
  const { namespaces = [], namespaceSelector, labelSelector, matchLabelKeys, mismatchLabelKeys } = term;
  const isOwn = namespaces.length === 0 && !namespaceSelector;
  const named = new Set(namespaces);
  const selects = labelMatcher(labelSelector, owner, { matchLabelKeys, mismatchLabelKeys });
  if (isOwn) return (other) => other.namespace === owner.namespace && selects(other.labels);
  return (other, namespaceLabels) =>
    (named.has(other.namespace) ||
      (namespaceSelector
        ? matchesLabelSelector(namespaceSelector, namespaceLabels(other.namespace))
        : false)) &&
    selects(other.labels);
}

interface LabelKeys {
  readonly matchLabelKeys?: readonly string[] | undefined;
  readonly mismatchLabelKeys?: readonly string[] | undefined;
}

/** No selector selects nothing, an empty one everything (metav1.LabelSelectorAsSelector). */
export function labelMatcher(
  selector: LabelSelector | null | undefined,
  { labels }: LabeledPod,
  { matchLabelKeys = [], mismatchLabelKeys = [] }: LabelKeys,
): (labels: Readonly<Record<string, string>>) => boolean {
  if (!selector) return () => false;
  const same = matchLabelKeys.flatMap((key) =>
    labels[key] === undefined ? [] : [[key, labels[key]] as const],
  );
  // Called for each pod of the cluster: no allocation, and the likeliest mismatch first.
  const wanted = [...Object.entries(selector.matchLabels ?? {}), ...same];
  const { matchExpressions = [] } = selector;
  const differ = mismatchLabelKeys.filter((key) => labels[key] !== undefined);
  return (others) => {
    for (const [key, value] of wanted) if (others[key] !== value) return false;
    if (matchExpressions.length > 0 && !meetsLabelExpressions(matchExpressions, others)) return false;
    return differ.every((key) => others[key] !== labels[key]);
  };
}

/** How often something was found in each domain: a value of a node label. */
export class DomainCounts {
  readonly #counts = new Map<string, Map<string, number>>();

  add(topologyKey: string, labels: Readonly<Record<string, string>>, count = 1): void {
    const value = labels[topologyKey];
    if (value === undefined) return;
    const values = this.#counts.get(topologyKey) ?? new Map<string, number>();
    this.#counts.set(topologyKey, values.set(value, (values.get(value) ?? 0) + count));
  }

  of(topologyKey: string, labels: Readonly<Record<string, string>>): number {
    const value = labels[topologyKey];
    return value === undefined ? 0 : (this.#counts.get(topologyKey)?.get(value) ?? 0);
  }

  /** What was found in all domains of the node. */
  sum(labels: Readonly<Record<string, string>>): number {
    let sum = 0;
    for (const key of this.#counts.keys()) sum += this.of(key, labels);
    return sum;
  }

  /** Whether the node is in a domain where something was found. */
  touches(labels: Readonly<Record<string, string>>): boolean {
    for (const key of this.#counts.keys()) if (this.of(key, labels) > 0) return true;
    return false;
  }

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }
}

/** A term of required pod affinity, ready to be compared with many pods. */
export interface AffinityRule {
  readonly topologyKey: string;
  readonly matches: TermMatcher;
}

export function rulesOf(terms: readonly PodAffinityTerm[] | undefined, owner: LabeledPod): AffinityRule[] {
  return (terms ?? []).map((term) => ({ topologyKey: term.topologyKey, matches: termMatcher(term, owner) }));
}

/** A term of preferred pod affinity; its weight is below zero where the pods are to be apart. */
export interface WeightedRule extends AffinityRule {
  readonly weight: number;
}

export function weightedRulesOf(
  { podAffinity, podAntiAffinity }: Affinity,
  owner: LabeledPod,
): WeightedRule[] {
  return (
    [
      [podAffinity, 1],
      [podAntiAffinity, -1],
    ] as const
  ).flatMap(([wish, sign]) =>
    (wish?.preferredDuringSchedulingIgnoredDuringExecution ?? []).flatMap(({ weight, podAffinityTerm }) =>
      rulesOf([podAffinityTerm], owner).map((rule) => ({ ...rule, weight: sign * weight })),
    ),
  );
}
