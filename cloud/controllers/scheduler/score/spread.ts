import { eligibility } from "#cloud/controllers/scheduler/filter";
import { countSelected, labelMatcher, type NodeLoad, type PodNeeds } from "#cloud/controllers/scheduler/load";
import { mostScore } from "./normalized.ts";

const hostnameLabel = "kubernetes.io/hostname";
const zoneLabel = "topology.kubernetes.io/zone";

/** A constraint with `ScheduleAnyway`, or one that every pod of a controller has. */
interface SoftRule {
  readonly topologyKey: string;
  readonly maxSkew: number;
  readonly countOn: (load: NodeLoad) => number;
  readonly isEligible: (load: NodeLoad) => boolean;
}

/**
 * How few of the pods that are to be spread a node's domains have, brought to 0 … 100; undefined when nothing is to be spread. As
 * the scores of PodTopologySpread with its default constraints, for which pods of one controller belong together.
 */
export function spreadScores(
  needs: PodNeeds,
  fitting: readonly NodeLoad[],
  all: readonly NodeLoad[],
): number[] | undefined {
  const constraints = needs.pod.spec.topologySpreadConstraints ?? [];
  const rules = constraints.length > 0 ? rulesOf(needs) : defaultRules(needs);
  if (rules.length === 0) return undefined;
  const takesPart = ({ labels }: NodeLoad): boolean =>
    constraints.length === 0 || rules.every(({ topologyKey }) => labels[topologyKey] !== undefined);
  const scored = fitting.filter(takesPart);
  const counted = all.filter(takesPart);
  const costs = rules.map((rule) => costsOf(rule, scored, counted));
  const sums = fitting.map((load) => {
    if (!takesPart(load)) return undefined;
    return Math.round(costs.reduce((sum, costOf) => sum + costOf(load), 0));
  });
  return reversed(sums);
}

/** The lowest sum gets the highest score; nodes that miss a label get none. */
function reversed(sums: readonly (number | undefined)[]): number[] {
  const known = sums.filter((sum) => sum !== undefined);
  const least = known.reduce((a, b) => Math.min(a, b), Infinity);
  const most = known.reduce((a, b) => Math.max(a, b), 0);
  return sums.map((sum) => {
    if (sum === undefined) return 0;
    return most === 0 ? mostScore : Math.floor((mostScore * (most + least - sum)) / most);
  });
}

/** Domains of few values are not drowned by those of many (topologyNormalizingWeight). */
function costsOf(
  { topologyKey, maxSkew, countOn, isEligible }: SoftRule,
  scored: readonly NodeLoad[],
  all: readonly NodeLoad[],
): (load: NodeLoad) => number {
  const isHost = topologyKey === hostnameLabel;
  const counts = new Map<string | undefined, number>();
  if (!isHost) {
    for (const { labels } of scored) counts.set(labels[topologyKey], 0);
    for (const load of all) {
      const count = counts.get(load.labels[topologyKey]);
      if (count !== undefined && isEligible(load))
        counts.set(load.labels[topologyKey], count + countOn(load));
    }
  }
  const weight = Math.log((isHost ? scored.length : counts.size) + 2);
  return (load) => {
    const domain = load.labels[topologyKey];
    // Each node is a host, whether it is labeled as one or not.
    if (!isHost && domain === undefined) return 0;
    return (isHost ? countOn(load) : (counts.get(domain) ?? 0)) * weight + maxSkew - 1;
  };
}

function rulesOf(needs: PodNeeds): SoftRule[] {
  const { topologySpreadConstraints = [] } = needs.pod.spec;
  return topologySpreadConstraints
    .filter(({ whenUnsatisfiable }) => whenUnsatisfiable === "ScheduleAnyway")
    .map((constraint) => {
      const { topologyKey, maxSkew, labelSelector, matchLabelKeys } = constraint;
      const selects = labelMatcher(labelSelector, needs, { matchLabelKeys });
      return {
        topologyKey,
        maxSkew,
        countOn: (load) => countSelected(load, needs.namespace, selects),
        isEligible: eligibility(constraint, needs.pod),
      };
    });
}

/** systemDefaultConstraints of kube-scheduler. */
function defaultRules({ owner, pod }: PodNeeds): SoftRule[] {
  if (owner === undefined) return [];
  const isEligible = eligibility({}, pod);
  const countOn = ({ owners }: NodeLoad): number => owners.get(owner) ?? 0;
  return [
    { topologyKey: hostnameLabel, maxSkew: 3, countOn, isEligible },
    { topologyKey: zoneLabel, maxSkew: 5, countOn, isEligible },
  ];
}
