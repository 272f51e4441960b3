import type { PodDisruptionBudget } from "#cloud/controllers/framework";
import { podVolumesOf } from "#cloud/controllers/storage";
import { matchesLabelSelector } from "#shared/kube";
import { summary, withNominated, type ClusterView, type RejectedNode } from "./choose.ts";
import { findObstacle, schedulingState } from "#cloud/controllers/scheduler/filter";
import { changedLoad, type NodeLoad, type PodNeeds } from "#cloud/controllers/scheduler/load";

export type Preemption =
  | { readonly node: string; readonly victims: readonly PodNeeds[] }
  /** Why no pods can be removed for this one; hopeless when no node would do. */
  | { readonly message: string; readonly isHopeless: boolean };

/** Nodes that are looked at until one is chosen, as minCandidateNodesAbsolute of kube-scheduler. */
const mostCandidates = 100;

interface Candidate {
  readonly node: string;
  readonly victims: readonly PodNeeds[];
  /** Victims that a disruption budget protects. */
  readonly violations: number;
}

/**
 * Which pods of lower priority on which node make room for a pod that fits nowhere; as few and as unimportant ones as
 * possible. Follows pkg/scheduler/framework/preemption of Kubernetes.
 */
export function planPreemption(
  needs: PodNeeds,
  rejected: readonly RejectedNode[],
  { cluster, budgets }: { readonly cluster: ClusterView; readonly budgets: readonly PodDisruptionBudget[] },
): Preemption {
  const candidates: Candidate[] = [];
  const reasons: string[] = [];
  for (const { load, obstacle } of rejected) {
    if (candidates.length >= mostCandidates) break;
    const found = obstacle.isFinal
      ? ["Preemption is not helpful for scheduling"]
      : victimsOn(needs, load, { cluster, budgets });
    if ("node" in found) candidates.push(found);
    else reasons.push(...found);
  }
  const best = candidates.toSorted(byHarm)[0];
  return best ?? { message: `preemption: ${summary(cluster.loads.length, reasons)}`, isHopeless: true };
}

/** The pods to remove from one node, or the reasons why it would not help. */
function victimsOn(
  needs: PodNeeds,
  load: NodeLoad,
  { cluster, budgets }: { readonly cluster: ClusterView; readonly budgets: readonly PodDisruptionBudget[] },
): Candidate | readonly string[] {
  const lower = [...load.pods].filter(([, pod]) => pod.priority < needs.priority);
  if (lower.length === 0) return ["No preemption victims found for incoming pod"];
  const removed = new Set(lower.map(([key]) => key));
  const blocked = obstacleWithout(needs, load, { cluster, removed });
  if (blocked) return blocked.reasons;
  const isProtected = protection(budgets);
  const ranked = lower
    .map(([key, pod]) => ({ key, pod, isProtected: isProtected(pod) }))
    .toSorted((a, b) => Number(b.isProtected) - Number(a.isProtected) || byImportance(a.pod, b.pod));
  // The most important ones first: those that fit beside the new pod stay.
  for (const { key } of ranked) {
    removed.delete(key);
    if (obstacleWithout(needs, load, { cluster, removed })) removed.add(key);
  }
  const victims = ranked.filter(({ key }) => removed.has(key));
  return {
    node: load.node.metadata.name ?? "",
    victims: victims.map(({ pod }) => pod).toSorted(byImportance),
    violations: victims.filter((victim) => victim.isProtected).length,
  };
}

function obstacleWithout(
  needs: PodNeeds,
  load: NodeLoad,
  { cluster, removed }: { readonly cluster: ClusterView; readonly removed: ReadonlySet<string> },
): ReturnType<typeof findObstacle> {
  const reduced = changedLoad(load, { without: removed });
  const loads = cluster.loads.map((one) => (one === load ? reduced : one));
  const { namespaceLabels, storage } = cluster;
  // A fault of its claims was found before: nothing would be rejected as a node then.
  const volumes = podVolumesOf(needs.pod, storage);
  if (typeof volumes === "string") return { reasons: [volumes], isFinal: true };
  const state = schedulingState(needs, loads, { namespaceLabels, volumes });
  return findObstacle(needs, withNominated(needs, reduced, cluster), state);
}

/** Whether a budget that allows no disruption protects a pod; each victim takes one from its budgets. */
function protection(budgets: readonly PodDisruptionBudget[]): (pod: PodNeeds) => boolean {
  const left = new Map(budgets.map((budget) => [budget, budget.status?.disruptionsAllowed ?? 0]));
  return ({ namespace, labels }) => {
    let isProtected = false;
    for (const [budget, count] of left) {
      const { selector } = budget.spec ?? {};
      const isAbout =
        budget.metadata.namespace === namespace && selector && matchesLabelSelector(selector, labels);
      if (!isAbout) continue;
      isProtected ||= count <= 0;
      left.set(budget, count - 1);
    }
    return isProtected;
  };
}

/** The highest priority first, then the one that has run for longest. */
function byImportance(a: PodNeeds, b: PodNeeds): number {
  return b.priority - a.priority || startOf(a) - startOf(b);
}

function startOf({ pod }: PodNeeds): number {
  return Date.parse(pod.status?.startTime ?? pod.metadata.creationTimestamp ?? "") || 0;
}

/** Fewer protected victims, a lower highest priority, lower priorities in all, fewer victims, younger ones. */
function byHarm(a: Candidate, b: Candidate): number {
  const highest = ({ victims }: Candidate): number => victims[0]?.priority ?? -Infinity;
  // Priorities may be negative: each victim counts, however unimportant.
  const sum = ({ victims }: Candidate): number =>
    victims.reduce((total, { priority }) => total + priority + 2 ** 31, 0);
  const since = ({ victims }: Candidate): number => (victims[0] ? startOf(victims[0]) : 0);
  return (
    a.violations - b.violations ||
    highest(a) - highest(b) ||
    sum(a) - sum(b) ||
    a.victims.length - b.victims.length ||
    since(b) - since(a)
  );
}
