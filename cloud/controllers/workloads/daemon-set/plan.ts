import { isDeleting, type DaemonSet } from "#cloud/controllers/framework";
import {
  availableInMs,
  byAge,
  isFinished,
  isPodReady,
  resolveShare,
} from "#cloud/controllers/workloads/pods";
import type { Node, Pod } from "#shared/kube";
import { nodeOf, verdictOf, type NodeVerdict } from "./daemon-pod.ts";

/*
 * What is to be done for a DaemonSet, decided from its nodes and pods. Follows pkg/controller/daemon of Kubernetes, except
 * for nodes that are not ready: see `rollOut`.
 */

export interface DaemonNode extends NodeVerdict {
  readonly name: string;
  /** The Ready condition is not False or Unknown. */
  readonly isReady: boolean;
  /** Pods of the DaemonSet on the node or for it, the oldest first; without those that ended and are being deleted. */
  readonly pods: readonly Pod[];
}

export interface DaemonWorld {
  readonly daemonSet: DaemonSet;
  readonly nodes: readonly DaemonNode[];
  /** Pods that wait for a node that does not exist any more. */
  readonly stray: readonly Pod[];
  readonly isUpdated: (pod: Pod) => boolean;
  readonly nowMs: number;
  readonly limits: Limits;
}

/** How many nodes may have two pods, and how many may be without an available one, during an update. */
interface Limits {
  readonly surge: number;
  readonly unavailable: number;
}

export interface DaemonPlan {
  /** Names of nodes that get a pod. */
  readonly create: string[];
  readonly remove: Pod[];
}

export function worldOf(
  daemonSet: DaemonSet,
  observed: Pick<DaemonWorld, "isUpdated" | "nowMs"> & {
    readonly nodes: readonly Node[];
    readonly pods: readonly Pod[];
  },
): DaemonWorld {
  const { isUpdated, nowMs } = observed;
  const byNode = Map.groupBy(
    byAge(observed.pods).filter((pod) => !(isFinished(pod) && isDeleting(pod))),
    (pod) => nodeOf(pod) ?? "",
  );
  const nodes = observed.nodes.map((node) =>
    daemonNode(daemonSet, node, byNode.get(node.metadata.name ?? "") ?? []),
  );
  for (const { name } of nodes) byNode.delete(name);
  byNode.delete("");
  const stray = [...byNode.values()].flat().filter((pod) => !pod.spec.nodeName && !isDeleting(pod));
  return { daemonSet, nodes, stray, isUpdated, nowMs, limits: limitsOf(daemonSet, nodes) };
}

function daemonNode(daemonSet: DaemonSet, node: Node, pods: readonly Pod[]): DaemonNode {
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready")?.status ?? "True";
  return { name: node.metadata.name ?? "", isReady: ready === "True", pods, ...verdictOf(daemonSet, node) };
}

/** A pod on each node that should have one, and none elsewhere. Pods that ended are among `remove`. */
export function balance(world: DaemonWorld): DaemonPlan {
  const plan: DaemonPlan = { create: [], remove: [...world.stray] };
  for (const node of world.nodes) balanceNode(world, node, plan);
  return plan;
}

function balanceNode(world: DaemonWorld, node: DaemonNode, { create, remove }: DaemonPlan): void {
  const { pods } = node;
  const live = pods.filter((pod) => !isDeleting(pod));
  if (!node.mayStay) {
    remove.push(...live);
    return;
  }
  const running = live.filter((pod) => !isFinished(pod));
  remove.push(...live.filter(isFinished));
  const { surge } = world.limits;
  // With surge the next pod need not wait until the node has ended the old one.
  const isFree = surge > 0 ? live.length === 0 : pods.length === 0;
  if (node.shouldRun && isFree) create.push(node.name);
  remove.push(...(surge > 0 ? excessOf(world, running) : running.slice(1)));
}

/** With surge: the oldest pod of the current template and the oldest other one stay, the latter until the former is available. */
function excessOf(world: DaemonWorld, running: readonly Pod[]): Pod[] {
  const current = running.filter(world.isUpdated);
  const old = running.filter((pod) => !world.isUpdated(pod));
  const [keptNew] = current;
  const [keptOld] = old;
  const isReplaced = keptNew && keptOld && (!isPodReady(keptOld) || isAvailable(world, keptNew));
  return [...current.slice(1), ...old.slice(isReplaced ? 0 : 1)];
}

export function isAvailable({ daemonSet, nowMs }: DaemonWorld, pod: Pod): boolean {
  return availableInMs(pod, daemonSet.spec.minReadySeconds ?? 0, nowMs) === 0;
}

/** Percentages are of the nodes that should have a pod, rounded up. */
function limitsOf({ spec }: DaemonSet, nodes: readonly DaemonNode[]): Limits {
  const { type = "RollingUpdate", rollingUpdate = {} } = spec.updateStrategy ?? {};
  if (type !== "RollingUpdate") return { surge: 0, unavailable: 0 };
  const desired = nodes.filter(({ shouldRun }) => shouldRun).length;
  const ceil = (share: number): number => Math.ceil(share);
  const surge = resolveShare(rollingUpdate.maxSurge ?? 0, desired, ceil);
  const unavailable = resolveShare(rollingUpdate.maxUnavailable ?? 1, desired, ceil);
  return { surge, unavailable: surge === 0 ? Math.max(1, unavailable) : unavailable };
}

/**
 * The next step of a rolling update. Nodes that are not ready are left out: their pods are replaced when they are back, and
 * until then they take nothing from maxUnavailable. Upstream counts them as unavailable, so that as many nodes that are away
 * would stop the update of all others; and pods deleted meanwhile would all stop at once when a site comes back.
 */
export function rollOut(world: DaemonWorld): DaemonPlan {
  const reachable = world.nodes.filter(({ isReady, pods }) => isReady && pods.length > 0);
  return world.limits.surge > 0 ? surge(world, reachable) : replace(world, reachable);
}

/** The pods of a node that are not being deleted; undefined while there are too many of a kind. */
function versionsOn(
  { isUpdated }: DaemonWorld,
  { pods }: DaemonNode,
): { readonly current: Pod | undefined; readonly old: Pod | undefined } | undefined {
  const live = pods.filter((pod) => !isDeleting(pod));
  const current = live.filter(isUpdated);
  const old = live.filter((pod) => !isUpdated(pod));
  return current.length > 1 || old.length > 1 ? undefined : { current: current[0], old: old[0] };
}

function replace(world: DaemonWorld, nodes: readonly DaemonNode[]): DaemonPlan {
  const broken: Pod[] = [];
  const candidates: Pod[] = [];
  let unavailable = 0;
  for (const node of nodes) {
    const versions = versionsOn(world, node);
    const only = versions && (versions.current ?? versions.old);
    if (!only || (versions.current && versions.old)) unavailable += 1;
    else if (versions.current) unavailable += isAvailable(world, only) ? 0 : 1;
    else (isAvailable(world, only) ? candidates : broken).push(only);
  }
  const allowed = Math.max(0, world.limits.unavailable - unavailable);
  return { create: [], remove: [...broken, ...candidates.slice(0, allowed)] };
}

function surge(world: DaemonWorld, nodes: readonly DaemonNode[]): DaemonPlan {
  const states = Map.groupBy(nodes, (node) => surgeState(world, node));
  const olds = (state: SurgeState): Pod[] =>
    (states.get(state) ?? []).flatMap((node) => versionsOn(world, node)?.old ?? []);
  const names = (state: SurgeState): string[] => (states.get(state) ?? []).map(({ name }) => name);
  const available = nodes.filter((node) => isServing(world, node)).length;
  const spare = Math.max(0, available - world.nodes.filter(({ shouldRun }) => shouldRun).length);
  const allowed = Math.max(0, world.limits.surge - names("surging").length);
  return {
    remove: [...olds("replaced"), ...olds("misplaced and broken"), ...olds("misplaced").slice(0, spare)],
    create: [...names("broken"), ...names("outdated").slice(0, allowed)],
  };
}

type SurgeState =
  "current" | "surging" | "replaced" | "outdated" | "broken" | "misplaced" | "misplaced and broken";

function surgeState(world: DaemonWorld, node: DaemonNode): SurgeState {
  const versions = versionsOn(world, node);
  if (!versions) return "surging";
  const { current, old } = versions;
  if (!old) return "current";
  if (current) return isAvailable(world, current) ? "replaced" : "surging";
  if (!node.shouldRun) return isAvailable(world, old) ? "misplaced" : "misplaced and broken";
  return isAvailable(world, old) ? "outdated" : "broken";
}

function isServing(world: DaemonWorld, node: DaemonNode): boolean {
  const versions = versionsOn(world, node);
  const counted = versions?.old ?? versions?.current;
  return counted !== undefined && isAvailable(world, counted);
}
