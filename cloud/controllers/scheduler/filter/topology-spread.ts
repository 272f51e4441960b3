import type { Pod, TopologySpreadConstraint } from "#shared/kube";
import { countSelected, labelMatcher, type NodeLoad, type PodNeeds } from "#cloud/controllers/scheduler/load";
import { findUntolerated, matchesNodeSelection } from "#shared/scheduling";

interface SpreadRule {
  readonly topologyKey: string;
  readonly maxSkew: number;
  /** Pods of the constraint by domain. */
  readonly counts: ReadonlyMap<string, number>;
  readonly fewest: number;
  /** 1 when the constraint is about the pod itself. */
  readonly self: number;
}

/** The constraints of a pod that a node has to satisfy, with where their pods are. */
export type SpreadState = readonly SpreadRule[];

export const spreadTexts = {
  skew: "node(s) didn't match pod topology spread constraints",
  label: "node(s) didn't match pod topology spread constraints (missing required label)",
} as const;

/** Follows the PodTopologySpread plugin of kube-scheduler. */
export function spreadOf(needs: PodNeeds, loads: readonly NodeLoad[]): SpreadState {
  const constraints = (needs.pod.spec.topologySpreadConstraints ?? []).filter(
    ({ whenUnsatisfiable }) => whenUnsatisfiable === "DoNotSchedule",
  );
  const keys = constraints.map(({ topologyKey }) => topologyKey);
  const labeled =
    constraints.length > 0
      ? loads.filter(({ labels }) => keys.every((key) => labels[key] !== undefined))
      : [];
  return constraints.map((constraint) => ruleOf(constraint, needs, labeled));
}

function ruleOf(
  constraint: TopologySpreadConstraint,
  needs: PodNeeds,
  loads: readonly NodeLoad[],
): SpreadRule {
  const { topologyKey, maxSkew, labelSelector, minDomains = 1, matchLabelKeys } = constraint;
  const selects = labelMatcher(labelSelector, needs, { matchLabelKeys });
  const counts = new Map<string, number>();
  const isEligible = eligibility(constraint, needs.pod);
  for (const load of loads) {
    if (!isEligible(load)) continue;
    const domain = load.labels[topologyKey] ?? "";
    counts.set(domain, (counts.get(domain) ?? 0) + countSelected(load, needs.namespace, selects));
  }
  const fewest = counts.size === 0 || counts.size < minDomains ? 0 : Math.min(...counts.values());
  return { topologyKey, maxSkew, counts, fewest, self: selects(needs.labels) ? 1 : 0 };
}

/** Whether a node counts as a place where the pod could be. */
export function eligibility(
  {
    nodeAffinityPolicy = "Honor",
    nodeTaintsPolicy = "Ignore",
  }: Pick<TopologySpreadConstraint, "nodeAffinityPolicy" | "nodeTaintsPolicy">,
  pod: Pod,
): (load: NodeLoad) => boolean {
  const { tolerations = [], nodeSelector, affinity } = pod.spec;
  const isSelective =
    nodeAffinityPolicy === "Honor" && (nodeSelector ?? affinity?.nodeAffinity) !== undefined;
  const isWary = nodeTaintsPolicy !== "Ignore";
  return ({ node }) =>
    !(isSelective && !matchesNodeSelection(pod, node)) &&
    !(isWary && findUntolerated(node.spec?.taints ?? [], tolerations));
}

/** Why a node would spread the pods of a constraint too unevenly, undefined when it does not. */
export function spreadObstacle(rules: SpreadState, { labels }: NodeLoad): string | undefined {
  for (const { topologyKey, maxSkew, counts, fewest, self } of rules) {
    const domain = labels[topologyKey];
    if (domain === undefined) return spreadTexts.label;
    if ((counts.get(domain) ?? 0) + self - fewest > maxSkew) return spreadTexts.skew;
  }
  return undefined;
}
