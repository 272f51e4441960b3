import { parseQuantity, type Container, type Node, type Pod, type Taint } from "#shared/kube";
import { findUntolerated, isTolerated, matchesNodeSelection } from "#cloud/controllers/framework";

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** What a pod needs on its node. */
export interface PodNeeds {
  /** In thousandths of the unit of the resource: whole numbers, so that sums stay exact. */
  readonly amounts: ReadonlyMap<string, number>;
  readonly hostPorts: readonly HostPort[];
  /** The uid of the controller that manages the pod. */
  readonly owner: string | undefined;
}

/** A node and what its pods use of it. */
export interface NodeLoad {
  readonly node: Node;
  readonly amounts: ReadonlyMap<string, number>;
  readonly pods: ReadonlyMap<string, PodNeeds>;
}

const nanoPerThousandth = 1_000_000n;

export type NodeChoice = { readonly node: string } | { readonly message: string };

export function needsOf(pod: Pod): PodNeeds {
  const owner = pod.metadata.ownerReferences?.find((reference) => reference.controller === true)?.uid;
  const hostPorts = pod.spec.containers.flatMap((container) => hostPortsOf(container, pod.spec.hostNetwork));
  return { amounts: requestsOf(pod), hostPorts, owner };
}

/** The node for the pod, or why none fits, in the words of kube-scheduler's FitError. */
export function chooseNode(pod: Pod, needs: PodNeeds, loads: readonly NodeLoad[]): NodeChoice {
  if (loads.length === 0) return { message: "no nodes available to schedule pods" };
  const fitting: NodeLoad[] = [];
  const refusals = new Map<string, number>();
  for (const load of loads) {
    const reasons = findObstacles(pod, needs, load);
    if (reasons.length === 0) fitting.push(load);
    for (const reason of reasons) refusals.set(reason, (refusals.get(reason) ?? 0) + 1);
  }
  const best = bestOf(pod, needs, fitting);
  if (best !== undefined) return { node: best };
  const listed = [...refusals].map(([reason, count]) => `${count} ${reason}`).toSorted();
  return { message: `0/${loads.length} nodes are available: ${listed.join(", ")}.` };
}

/**
 * Why the pod cannot run on the node: reasons of the first filter that rejects it, in kube-scheduler's order (taints, node
 * affinity, ports, resources).
 */
export function findObstacles(pod: Pod, needs: PodNeeds, load: NodeLoad): readonly string[] {
  const { node } = load;
  const tolerations = pod.spec.tolerations ?? [];
  const cordon: Taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };
  if (node.spec?.unschedulable === true && !isTolerated(cordon, tolerations))
    return ["node(s) were unschedulable"];
  const taint = findUntolerated(node.spec?.taints ?? [], tolerations);
  if (taint) return [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`];
  if (!matchesNodeSelection(pod, node)) return ["node(s) didn't match Pod's node affinity/selector"];
  if (portsCollide(needs, load)) return ["node(s) didn't have free ports for the requested pod ports"];
  return lackingResources(needs, load);
}

function lackingResources(needs: PodNeeds, load: NodeLoad): string[] {
  const reasons: string[] = [];
  if (load.pods.size + 1 > allocatable(load.node, "pods") / 1000) reasons.push("Too many pods");
  for (const [resource, amount] of needs.amounts) {
    if (amount > allocatable(load.node, resource) - (load.amounts.get(resource) ?? 0))
      reasons.push(`Insufficient ${resource}`);
  }
  return reasons;
}

function allocatable(node: Node, resource: string): number {
  const given = node.status?.allocatable ?? node.status?.capacity ?? {};
  return Number(nanoOf(given[resource]) / nanoPerThousandth);
}

/** Exact: 700m is 700.0000000000001 thousandths as a number. An invalid quantity counts as 0. */
function nanoOf(text: string | undefined): bigint {
  return parseQuantity(text ?? "")?.nano ?? 0n;
}

function portsCollide(needs: PodNeeds, load: NodeLoad): boolean {
  if (needs.hostPorts.length === 0) return false;
  const wanted = Map.groupBy(needs.hostPorts, portId);
  for (const other of load.pods.values())
    for (const taken of other.hostPorts)
      if (wanted.get(portId(taken))?.some((port) => sharesAddress(port, taken))) return true;
  return false;
}

function portId({ protocol, port }: HostPort): string {
  return `${protocol}/${port}`;
}

function sharesAddress(a: HostPort, b: HostPort): boolean {
  return a.ip === b.ip || a.ip === "0.0.0.0" || b.ip === "0.0.0.0";
}

function hostPortsOf(container: Container, hostNetwork: boolean | undefined): HostPort[] {
  return (container.ports ?? []).flatMap(({ hostPort, containerPort, hostIP, protocol }) => {
    const port = hostPort ?? (hostNetwork === true ? containerPort : 0);
    return port > 0 ? [{ port, ip: hostIP || "0.0.0.0", protocol: protocol ?? "TCP" }] : [];
  });
}

/**
 * The sum over the containers, or the largest init container with the sidecars before it, whichever is more; plus
 * overhead (KEP-753, KEP-688).
 */
function requestsOf(pod: Pod): Map<string, number> {
  const running = new Map<string, number>();
  const starting = new Map<string, number>();
  for (const container of pod.spec.initContainers ?? []) {
    const sidecar = container.restartPolicy === "Always";
    for (const [resource, amount] of amountsOf(container.resources?.requests)) {
      const total = (running.get(resource) ?? 0) + amount;
      if (sidecar) running.set(resource, total);
      starting.set(resource, Math.max(starting.get(resource) ?? 0, total));
    }
  }
  for (const container of pod.spec.containers) addAmounts(running, amountsOf(container.resources?.requests));
  for (const [resource, amount] of starting)
    running.set(resource, Math.max(running.get(resource) ?? 0, amount));
  addAmounts(running, amountsOf(pod.spec.overhead));
  return running;
}

function amountsOf(requests: Record<string, string> | undefined): [string, number][] {
  return Object.entries(requests ?? {}).flatMap(([resource, text]): [string, number][] => {
    const amount = Number((nanoOf(text) + nanoPerThousandth - 1n) / nanoPerThousandth);
    return amount > 0 ? [[resource, amount]] : [];
  });
}

function addAmounts(total: Map<string, number>, amounts: Iterable<readonly [string, number]>): void {
  for (const [resource, amount] of amounts) total.set(resource, (total.get(resource) ?? 0) + amount);
}

interface NodeRank {
  readonly name: string;
  readonly siblings: number;
  readonly score: number;
  readonly pods: number;
}

/** Less than a node that is half empty: an image is pulled once, a full node stays slow. */
const imageWeight = 0.5;

/** The node with the fewest pods of the same owner, then with the highest score, the fewest pods, the first name. */
function bestOf(pod: Pod, needs: PodNeeds, loads: readonly NodeLoad[]): string | undefined {
  let best: NodeRank | undefined;
  for (const load of loads) {
    const rank = rankOf(pod, needs, load);
    if (!best || isBetter(rank, best)) best = rank;
  }
  return best?.name;
}

function isBetter(a: NodeRank, b: NodeRank): boolean {
  if (a.siblings !== b.siblings) return a.siblings < b.siblings;
  if (a.score !== b.score) return a.score > b.score;
  return a.pods === b.pods ? a.name < b.name : a.pods < b.pods;
}

function rankOf(pod: Pod, needs: PodNeeds, load: NodeLoad): NodeRank {
  let siblings = 0;
  if (needs.owner !== undefined)
    for (const other of load.pods.values()) if (other.owner === needs.owner) siblings += 1;
  const tolerations = pod.spec.tolerations ?? [];
  const avoided = (load.node.spec?.taints ?? []).filter(
    (taint) => taint.effect === "PreferNoSchedule" && !isTolerated(taint, tolerations),
  ).length;
  const score = freeShare(needs, load) + imageWeight * imageShare(pod, load.node) - avoided;
  return { name: load.node.metadata.name ?? "", siblings, score, pods: load.pods.size };
}

/** The share of CPU and memory that stays free, from 0 to 1; as NodeResourcesFit with LeastAllocated. */
function freeShare(needs: PodNeeds, load: NodeLoad): number {
  let share = 0;
  for (const resource of ["cpu", "memory"]) {
    const total = allocatable(load.node, resource);
    const used = (load.amounts.get(resource) ?? 0) + (needs.amounts.get(resource) ?? 0);
    if (total > 0) share += (total - used) / total / 2;
  }
  return share;
}

/** The share of the pod's images that the node has, from 0 to 1; as ImageLocality. */
function imageShare(pod: Pod, node: Node): number {
  const present = new Set((node.status?.images ?? []).flatMap((image) => image.names ?? []));
  if (present.size === 0 || pod.spec.containers.length === 0) return 0;
  const pulled = pod.spec.containers.filter(({ image }) => present.has(image ?? "")).length;
  return pulled / pod.spec.containers.length;
}
