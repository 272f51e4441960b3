import { isTolerated, matchesPreference } from "#cloud/controllers/framework";
import type { Node, Pod, Taint } from "#shared/kube";
import type { PodNeeds } from "./needs.ts";
import type { NodeLoad } from "./node-load.ts";

interface NodeRank {
  readonly name: string;
  readonly siblings: number;
  readonly score: number;
  readonly pods: number;
}

/** Less than a node that is half empty: an image is pulled once, a full node stays slow. */
const imageWeight = 0.5;

/** What the author of a pod asked for weighs more than how full a node is; as upstream, twice as much. */
const preferenceWeight = 2;

/** The node with the fewest pods of the same owner, then with the highest score, the fewest pods, the first name. */
export function bestOf(needs: PodNeeds, loads: readonly NodeLoad[]): string | undefined {
  let best: NodeRank | undefined;
  for (const load of loads) {
    const rank = rankOf(needs, load);
    if (!best || isBetter(rank, best)) best = rank;
  }
  return best?.name;
}

function isBetter(a: NodeRank, b: NodeRank): boolean {
  if (a.siblings !== b.siblings) return a.siblings < b.siblings;
  if (a.score !== b.score) return a.score > b.score;
  return a.pods === b.pods ? a.name < b.name : a.pods < b.pods;
}

function rankOf(needs: PodNeeds, load: NodeLoad): NodeRank {
  const { pod, owner } = needs;
  const { taints = [] } = load.node.spec ?? {};
  const avoided = taints.length === 0 ? 0 : avoidedTaints(pod, taints);
  const score =
    freeShare(needs, load) +
    imageWeight * imageShare(pod, load) +
    preferenceWeight * preferredShare(pod, load.node) -
    avoided;
  const siblings = owner === undefined ? 0 : (load.owners.get(owner) ?? 0);
  return { name: load.node.metadata.name ?? "", siblings, score, pods: load.pods.size };
}

function avoidedTaints({ spec: { tolerations = [] } }: Pod, taints: readonly Taint[]): number {
  return taints.filter((taint) => taint.effect === "PreferNoSchedule" && !isTolerated(taint, tolerations))
    .length;
}

/** What the pod prefers of the node, from 0 to 1. */
function preferredShare({ spec }: Pod, node: Node): number {
  const preferred = spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution;
  if (!preferred) return 0;
  const sum = (terms: typeof preferred): number => terms.reduce((total, { weight }) => total + weight, 0);
  const total = sum(preferred);
  return total > 0
    ? sum(preferred.filter(({ preference }) => matchesPreference(preference, node))) / total
    : 0;
}

/** The share of CPU and memory that stays free, from 0 to 1; as NodeResourcesFit with LeastAllocated. */
function freeShare(needs: PodNeeds, load: NodeLoad): number {
  let share = 0;
  for (const resource of ["cpu", "memory"]) {
    const total = load.capacity.get(resource) ?? 0;
    const used = (load.amounts.get(resource) ?? 0) + (needs.amounts.get(resource) ?? 0);
    if (total > 0) share += (total - used) / total / 2;
  }
  return share;
}

/** The share of the pod's images that the node has, from 0 to 1; as ImageLocality. */
function imageShare({ spec }: Pod, { images }: NodeLoad): number {
  if (images.size === 0 || spec.containers.length === 0) return 0;
  return spec.containers.filter(({ image }) => images.has(image ?? "")).length / spec.containers.length;
}
