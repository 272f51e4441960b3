import { podVolumesOf, type PodVolumes, type StorageView } from "#cloud/controllers/storage";
import {
  findObstacle,
  notSelected,
  schedulingState,
  type Obstacle,
  type SchedulingState,
} from "#cloud/controllers/scheduler/filter";
import {
  changedLoad,
  type NamespaceLabels,
  type NodeLoad,
  type PodNeeds,
} from "#cloud/controllers/scheduler/load";
import { bestOf } from "#cloud/controllers/scheduler/score";
import { nodesNamedBy } from "#shared/scheduling";

/** The nodes as the scheduler sees them. */
export interface ClusterView {
  readonly loads: readonly NodeLoad[];
  /** The node that is looked at first: where enough nodes fit, the others have their turn with later pods. */
  readonly firstNode: number;
  readonly namespaceLabels: NamespaceLabels;
  readonly storage: StorageView;
  /** Pods for which room is being made on a node. */
  readonly nominated: (node: string) => ReadonlyMap<string, PodNeeds>;
}

/** A node whose pods cannot stay together with the new one, and why. */
export interface RejectedNode {
  readonly load: NodeLoad;
  readonly obstacle: Obstacle;
}

export type NodeChoice =
  | { readonly node: string; readonly volumes: PodVolumes | undefined; readonly lookedAt: number }
  | { readonly message: string; readonly rejected: readonly RejectedNode[] };

/** The node for the pod, or why none fits, in the words of kube-scheduler's FitError. */
export function chooseNode(needs: PodNeeds, cluster: ClusterView): NodeChoice {
  const { loads } = cluster;
  if (loads.length === 0) return { message: "no nodes available to schedule pods", rejected: [] };
  const volumes = podVolumesOf(needs.pod, cluster.storage);
  if (typeof volumes === "string") return nowhere(volumes, loads);
  const { namespaceLabels } = cluster;
  const state = schedulingState(needs, loads, { namespaceLabels, volumes });
  const fitting: NodeLoad[] = [];
  const rejected: RejectedNode[] = [];
  const named = nodesNamedBy(needs.pod);
  const enough = enoughNodes(loads.length);
  for (const load of turned(loads, cluster.firstNode)) {
    if (fitting.length >= enough) break;
    const isOpen = !named || named.has(load.node.metadata.name ?? "");
    const obstacle = isOpen ? obstacleOf(needs, load, { cluster, state }) : notNamed;
    if (obstacle) rejected.push({ load, obstacle });
    else fitting.push(load);
  }
  const best = bestOf(needs, fitting, cluster);
  if (best !== undefined) return { node: best, volumes, lookedAt: fitting.length + rejected.length };
  return {
    message: summary(
      loads.length,
      rejected.flatMap(({ obstacle }) => obstacle.reasons),
    ),
    rejected,
  };
}

/** Of a large cluster not every node is compared, as numFeasibleNodesToFind of kube-scheduler. */
function enoughNodes(count: number): number {
  return Math.max(100, Math.floor((count * Math.max(5, 50 - count / 125)) / 100));
}

function* turned<T>(items: readonly T[], first: number): Generator<T> {
  for (let step = 0; step < items.length; step += 1) {
    const item = items[(first + step) % items.length];
    if (item !== undefined) yield item;
  }
}

/** What is in the way is not about a node. */
function nowhere(reason: string, loads: readonly NodeLoad[]): NodeChoice {
  const obstacle = { reasons: [reason], isFinal: true };
  const message = `0/${loads.length} nodes are available: ${reason}.`;
  return { message, rejected: loads.map((load) => ({ load, obstacle })) };
}

const notNamed: Obstacle = { reasons: [notSelected], isFinal: true };

function obstacleOf(
  needs: PodNeeds,
  load: NodeLoad,
  { cluster, state }: { readonly cluster: ClusterView; readonly state: SchedulingState },
): Obstacle | undefined {
  const obstacle = findObstacle(needs, load, state);
  if (obstacle) return obstacle;
  const fuller = withNominated(needs, load, cluster);
  return fuller === load ? undefined : findObstacle(needs, fuller, state);
}

/** Room that is being made for a pod of the same or a higher priority is not free. */
export function withNominated(needs: PodNeeds, load: NodeLoad, { nominated }: ClusterView): NodeLoad {
  const waiting = nominated(load.node.metadata.name ?? "");
  if (waiting.size === 0) return load;
  const others = [...waiting].filter(
    ([, other]) => other.priority >= needs.priority && other.pod.metadata.uid !== needs.pod.metadata.uid,
  );
  return others.length === 0 ? load : changedLoad(load, { with: others });
}

/** `0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.` */
export function summary(nodes: number, reasons: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const listed = [...counts].map(([reason, count]) => `${count} ${reason}`).toSorted();
  return `0/${nodes} nodes are available: ${listed.join(", ")}.`;
}
