import { objectKey, type Node, type Pod } from "#shared/kube";
import { needsOf, type NodeLoad, type PodNeeds } from "./fit.ts";

class Load implements NodeLoad {
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

interface Placement {
  readonly node: string;
  readonly uid: string | undefined;
  readonly needs: PodNeeds;
  readonly assumed: boolean;
}

/** Nodes and what is taken of them, kept change by change; pods just bound count before the API shows them bound. */
export class SchedulerCache {
  readonly #nodes = new Map<string, Load>();
  readonly #placements = new Map<string, Placement>();
  /** Keys by node, of pods on nodes that are not (yet) known too. */
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
    const load = new Load(node);
    for (const key of this.#byNode.get(name) ?? []) {
      const placement = this.#placements.get(key);
      if (placement) load.add(key, placement.needs);
    }
    this.#nodes.set(name, load);
  }

  removeNode(name: string): void {
    this.#nodes.delete(name);
  }

  /** What the API shows of a pod. */
  setPod(pod: Pod): void {
    const key = objectKey(pod);
    const { nodeName } = pod.spec;
    const known = this.#placements.get(key);
    if (!nodeName && known?.assumed === true && known.uid === pod.metadata.uid && !isOver(pod)) return;
    this.#drop(key);
    if (nodeName && !isOver(pod)) this.#place(key, pod, { node: nodeName, assumed: false });
  }

  removePod(pod: Pod): void {
    this.#drop(objectKey(pod));
  }

  isAssumed(pod: Pod): boolean {
    const placement = this.#placements.get(objectKey(pod));
    return placement?.assumed === true && placement.uid === pod.metadata.uid;
  }

  assume(pod: Pod, node: string): void {
    const key = objectKey(pod);
    this.#drop(key);
    this.#place(key, pod, { node, assumed: true });
  }

  /** Takes an assumption back, unless the API has shown the pod meanwhile. */
  forget(pod: Pod): void {
    if (this.isAssumed(pod)) this.#drop(objectKey(pod));
  }

  #place(key: string, pod: Pod, where: { readonly node: string; readonly assumed: boolean }): void {
    const needs = needsOf(pod);
    this.#placements.set(key, { ...where, uid: pod.metadata.uid, needs });
    const keys = this.#byNode.get(where.node) ?? new Set();
    this.#byNode.set(where.node, keys.add(key));
    this.#nodes.get(where.node)?.add(key, needs);
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

function isOver(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}
