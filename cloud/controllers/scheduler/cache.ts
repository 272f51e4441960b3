import { objectKey, type Node, type Pod } from "#shared/kube";
import { needsOf, type NodeLoad, type PodNeeds } from "./fit.ts";

class MutableLoad implements NodeLoad {
  node: Node;
  readonly amounts = new Map<string, number>();
  readonly pods = new Map<string, PodNeeds>();

  constructor(node: Node) {
    this.node = node;
  }

  add(key: string, needs: PodNeeds): void {
    this.pods.set(key, needs);
    for (const [resource, amount] of needs.amounts)
      this.amounts.set(resource, (this.amounts.get(resource) ?? 0) + amount);
  }

  remove(key: string, needs: PodNeeds): void {
    this.pods.delete(key);
    for (const [resource, amount] of needs.amounts)
      this.amounts.set(resource, (this.amounts.get(resource) ?? 0) - amount);
  }
}

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

  loads(): NodeLoad[] {
    return [...this.#nodes.values()];
  }

  setNode(node: Node): void {
    const name = node.metadata.name ?? "";
    const known = this.#nodes.get(name);
    if (known) {
      known.node = node;
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
  }

  /** Applies a pod as the API shows it. */
  setPod(pod: Pod): void {
    const key = objectKey(pod);
    const { nodeName } = pod.spec;
    const known = this.#placements.get(key);
    if (!nodeName && known?.assumed === true && known.uid === pod.metadata.uid && !isFinished(pod)) return;
    this.#drop(key);
    if (nodeName && !isFinished(pod)) this.#place(key, pod, { node: nodeName, assumed: false });
  }

  removePod(pod: Pod): void {
    this.#drop(objectKey(pod));
  }

  isAssumed(pod: Pod): boolean {
    const placement = this.#placements.get(objectKey(pod));
    return placement?.assumed === true && placement.uid === pod.metadata.uid;
  }

  /** Counts a pod as bound to a node before the API shows it. */
  assume(pod: Pod, node: string): void {
    const key = objectKey(pod);
    this.#drop(key);
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
    this.#nodes.get(placement.node)?.remove(key, placement.needs);
    const keys = this.#byNode.get(placement.node);
    keys?.delete(key);
    if (keys?.size === 0) this.#byNode.delete(placement.node);
  }
}

function isFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}
