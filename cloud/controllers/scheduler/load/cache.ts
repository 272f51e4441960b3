import { objectKey, type Node, type Pod } from "#shared/kube";
import { needsOf, type PodNeeds } from "./needs.ts";
import { MutableLoad, type NodeLoad } from "./node-load.ts";

const none: ReadonlyMap<string, PodNeeds> = new Map();

/** A pod on a node; assumed while its binding is not shown by the API yet. */
interface Placement {
  readonly node: string;
  readonly uid: string | undefined;
  readonly needs: PodNeeds;
  readonly assumed: boolean;
}

/**
 * Nodes and the resources used on them, updated incrementally. Pods that were just bound count before the API shows their
 * binding, as in kube-scheduler's cache (pkg/scheduler/internal/cache).
 */
export class SchedulerCache {
  readonly #nodes = new Map<string, MutableLoad>();
  readonly #placements = new Map<string, Placement>();
  /** Keys of pods by node, also of nodes that are not known (yet). */
  readonly #byNode = new Map<string, Set<string>>();
  /** Pods for which room is being made, by node. */
  readonly #nominated = new Map<string, Map<string, PodNeeds>>();
  readonly #nominations = new Map<string, string>();

  loads(): NodeLoad[] {
    return [...this.#nodes.values()];
  }

  setNode(node: Node): void {
    const name = node.metadata.name ?? "";
    const known = this.#nodes.get(name);
    if (known) {
      known.setNode(node);
      return;
    }
    const load = new MutableLoad(node);
    for (const key of this.#byNode.get(name) ?? []) {
      const placement = this.#placements.get(key);
      if (placement) load.add(key, placement.needs);
    }
    this.#nodes.set(name, load);
  }

  removeNode(name: string): void {
    this.#nodes.delete(name);
    if (this.#nominated.get(name)?.size === 0) this.#nominated.delete(name);
  }

  /** Applies a pod as the API shows it. */
  setPod(pod: Pod): void {
    const key = objectKey(pod);
    const { nodeName } = pod.spec;
    const known = this.#placements.get(key);
    if (!nodeName && known?.assumed === true && known.uid === pod.metadata.uid && !isFinished(pod)) return;
    this.#drop(key);
    const isWaiting = !nodeName && !isFinished(pod) && !pod.metadata.deletionTimestamp;
    this.nominate(pod, isWaiting ? pod.status?.nominatedNodeName : undefined);
    if (nodeName && !isFinished(pod)) this.#place(key, pod, { node: nodeName, assumed: false });
  }

  removePod(pod: Pod): void {
    this.#drop(objectKey(pod));
    this.nominate(pod, undefined);
  }

  /** Keeps room on a node for a pod that waits until other pods have left it; without a node it needs none. */
  nominate(pod: Pod, node: string | undefined): void {
    const key = objectKey(pod);
    const before = this.#nominations.get(key);
    if (before !== undefined) this.#nominated.get(before)?.delete(key);
    this.#nominations.delete(key);
    if (!node) return;
    this.#nominations.set(key, node);
    const pods = this.#nominated.get(node) ?? new Map<string, PodNeeds>();
    this.#nominated.set(node, pods.set(key, needsOf(pod)));
  }

  nominatedOn(node: string): ReadonlyMap<string, PodNeeds> {
    return this.#nominated.get(node) ?? none;
  }

  loadOf(node: string): NodeLoad | undefined {
    return this.#nodes.get(node);
  }

  isAssumed(pod: Pod): boolean {
    const placement = this.#placements.get(objectKey(pod));
    return placement?.assumed === true && placement.uid === pod.metadata.uid;
  }

  /** Counts a pod as bound to a node before the API shows it. */
  assume(pod: Pod, node: string): void {
    const key = objectKey(pod);
    this.#drop(key);
    this.nominate(pod, undefined);
    this.#place(key, pod, { node, assumed: true });
  }

  /** Reverts an assumption, unless the API has shown the pod meanwhile. */
  forget(pod: Pod): void {
    if (this.isAssumed(pod)) this.#drop(objectKey(pod));
  }

  #place(key: string, pod: Pod, binding: { readonly node: string; readonly assumed: boolean }): void {
    const needs = needsOf(pod);
    this.#placements.set(key, { ...binding, uid: pod.metadata.uid, needs });
    const keys = this.#byNode.get(binding.node) ?? new Set();
    this.#byNode.set(binding.node, keys.add(key));
    this.#nodes.get(binding.node)?.add(key, needs);
  }

  #drop(key: string): void {
    const placement = this.#placements.get(key);
    if (!placement) return;
    this.#placements.delete(key);
    this.#nodes.get(placement.node)?.remove(key);
    const keys = this.#byNode.get(placement.node);
    keys?.delete(key);
    if (keys?.size === 0) this.#byNode.delete(placement.node);
  }
}

function isFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}
