import { volumeObstacle, type PodVolumes } from "#cloud/controllers/storage";
import type { Taint } from "#shared/kube";
import type { NamespaceLabels, NodeLoad, PodNeeds } from "#cloud/controllers/scheduler/load";
import { findUntolerated, isTolerated, matchesNodeSelection, portsCollide } from "#shared/scheduling";
import { affinityObstacle, affinityTexts, podAffinityOf, type PodAffinityState } from "./pod-affinity.ts";
import { spreadObstacle, spreadOf, spreadTexts, type SpreadState } from "./topology-spread.ts";

/** What decides about all nodes for one pod, computed once. */
export interface SchedulingState {
  readonly affinity: PodAffinityState | undefined;
  readonly spread: SpreadState;
  /** Undefined without claims. */
  readonly volumes: PodVolumes | undefined;
}

export function schedulingState(
  needs: PodNeeds,
  loads: readonly NodeLoad[],
  {
    namespaceLabels,
    volumes,
  }: { readonly namespaceLabels: NamespaceLabels; readonly volumes: PodVolumes | undefined },
): SchedulingState {
  return { affinity: podAffinityOf(needs, loads, namespaceLabels), spread: spreadOf(needs, loads), volumes };
}

/** Why a pod cannot run on a node, in kube-scheduler's words. */
export interface Obstacle {
  readonly reasons: readonly string[];
  /** Would stay if other pods were removed from the node. */
  readonly isFinal: boolean;
}

export const notSelected = "node(s) didn't match Pod's node affinity/selector";
const cordon: Taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/**
 * The reasons of the first filter that rejects the node, in kube-scheduler's order: taints, node affinity, ports, resources,
 * volumes, spread, pod affinity. Undefined when the pod fits.
 */
export function findObstacle(needs: PodNeeds, load: NodeLoad, state: SchedulingState): Obstacle | undefined {
  const final = nodeObstacle(needs, load);
  if (final !== undefined) return { reasons: [final], isFinal: true };
  if (takesPorts(needs, load))
    return { reasons: ["node(s) didn't have free ports for the requested pod ports"], isFinal: false };
  const lacking = lackingResources(needs, load);
  if (lacking.length > 0) return { reasons: lacking, isFinal: !couldHold(needs, load) };
  const volume = state.volumes && volumeObstacle(state.volumes, load.node);
  if (volume !== undefined) return { reasons: [volume], isFinal: true };
  const spread = spreadObstacle(state.spread, load);
  if (spread !== undefined) return { reasons: [spread], isFinal: spread === spreadTexts.label };
  const affinity = state.affinity && affinityObstacle(state.affinity, load.node);
  return affinity === undefined
    ? undefined
    : { reasons: [affinity], isFinal: affinity === affinityTexts.near };
}

/** What the node itself has against the pod. */
function nodeObstacle({ pod }: PodNeeds, { node }: NodeLoad): string | undefined {
  const tolerations = pod.spec.tolerations ?? [];
  if (node.spec?.unschedulable === true && !isTolerated(cordon, tolerations))
    return "node(s) were unschedulable";
  const taint = findUntolerated(node.spec?.taints ?? [], tolerations);
  if (taint) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`;
  return matchesNodeSelection(pod, node) ? undefined : notSelected;
}

function lackingResources(needs: PodNeeds, load: NodeLoad): string[] {
  const reasons: string[] = [];
  if (load.pods.size + 1 > (load.capacity.get("pods") ?? 0) / 1000) reasons.push("Too many pods");
  for (const [resource, amount] of needs.amounts) {
    if (amount > (load.capacity.get(resource) ?? 0) - (load.amounts.get(resource) ?? 0))
      reasons.push(`Insufficient ${resource}`);
  }
  return reasons;
}

/** Whether the node would be large enough without any other pod. */
function couldHold({ amounts }: PodNeeds, { capacity }: NodeLoad): boolean {
  return [...amounts].every(([resource, amount]) => amount <= (capacity.get(resource) ?? 0));
}

function takesPorts(needs: PodNeeds, load: NodeLoad): boolean {
  if (needs.hostPorts.length === 0) return false;
  return portsCollide(
    needs.hostPorts,
    load.pods.values().map(({ hostPorts }) => hostPorts),
  );
}
