import type { Node } from "#shared/kube";
import { capacityOf, type PodNeeds } from "./needs.ts";

/** A node and what its pods use of it. */
export interface NodeLoad {
  readonly node: Node;
  readonly labels: Readonly<Record<string, string>>;
  /** What it gives to pods, in thousandths. */
  readonly capacity: ReadonlyMap<string, number>;
  readonly amounts: ReadonlyMap<string, number>;
  readonly pods: ReadonlyMap<string, PodNeeds>;
  /** How many of its pods each controller has, by uid. */
  readonly owners: ReadonlyMap<string, number>;
  /** Names of the images it has. */
  readonly images: ReadonlySet<string>;
  /** Those of its pods that have required anti-affinity: few, so that others are passed over at once. */
  readonly avoiding: ReadonlyMap<string, PodNeeds>;
}

type NodeFacts = Pick<NodeLoad, "node" | "labels" | "capacity" | "images">;

function factsOf(node: Node): NodeFacts {
  const images = new Set((node.status?.images ?? []).flatMap(({ names = [] }) => names));
  return { node, labels: node.metadata.labels ?? {}, capacity: capacityOf(node), images };
}

/** A node whose pods come and go. */
export class MutableLoad implements NodeLoad {
  readonly amounts = new Map<string, number>();
  readonly pods = new Map<string, PodNeeds>();
  readonly owners = new Map<string, number>();
  readonly avoiding = new Map<string, PodNeeds>();
  #facts: NodeFacts;

  constructor(node: Node) {
    this.#facts = factsOf(node);
  }

  setNode(node: Node): void {
    this.#facts = factsOf(node);
  }

  get node(): Node {
    return this.#facts.node;
  }

  get labels(): Readonly<Record<string, string>> {
    return this.#facts.labels;
  }

  get capacity(): ReadonlyMap<string, number> {
    return this.#facts.capacity;
  }

  get images(): ReadonlySet<string> {
    return this.#facts.images;
  }

  add(key: string, needs: PodNeeds): void {
    this.remove(key);
    this.pods.set(key, needs);
    if (needs.avoids.length > 0) this.avoiding.set(key, needs);
    this.#count(needs, 1);
  }

  remove(key: string): void {
    const needs = this.pods.get(key);
    if (!needs) return;
    this.pods.delete(key);
    this.avoiding.delete(key);
    this.#count(needs, -1);
  }

  #count({ amounts, owner }: PodNeeds, sign: 1 | -1): void {
    for (const [resource, amount] of amounts)
      this.amounts.set(resource, (this.amounts.get(resource) ?? 0) + sign * amount);
    if (owner === undefined) return;
    const count = (this.owners.get(owner) ?? 0) + sign;
    if (count > 0) this.owners.set(owner, count);
    else this.owners.delete(owner);
  }
}

/** The same node without some of its pods, or with others. */
export function changedLoad(
  load: NodeLoad,
  change: {
    readonly without?: ReadonlySet<string>;
    readonly with?: Iterable<readonly [string, PodNeeds]>;
  },
): NodeLoad {
  const changed = new MutableLoad(load.node);
  for (const [key, needs] of load.pods) if (change.without?.has(key) !== true) changed.add(key, needs);
  for (const [key, needs] of change.with ?? []) changed.add(key, needs);
  return changed;
}
