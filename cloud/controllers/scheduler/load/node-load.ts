import type { Node } from "#shared/kube";
import { capacityOf, type Estimates, type PodNeeds } from "./needs.ts";

/** A node and what its pods use of it. */
export interface NodeLoad {
  readonly node: Node;
  readonly labels: Readonly<Record<string, string>>;
  /** What it gives to pods, in thousandths. */
  readonly capacity: ReadonlyMap<string, number>;
  readonly amounts: ReadonlyMap<string, number>;
  /** What its pods take of cpu and memory, also those that request nothing. */
  readonly estimates: Estimates;
  readonly pods: ReadonlyMap<string, PodNeeds>;
  /** How many of its pods each controller has, by uid. */
  readonly owners: ReadonlyMap<string, number>;
  /** Bytes of the images it has, by name. */
  readonly images: ReadonlyMap<string, number>;
  /** Its pods by what selectors see of them. */
  readonly looks: PodGroups;
  /** Those of its pods that want others near or not near them, by what they want. */
  readonly wishes: PodGroups;
}

/** Pods that are equal in some respect: one of them, and how many they are. */
export interface PodGroup {
  readonly sample: PodNeeds;
  readonly count: number;
}

export type PodGroups = ReadonlyMap<string, PodGroup>;

type NodeFacts = Pick<NodeLoad, "node" | "labels" | "capacity" | "images">;

function factsOf(node: Node): NodeFacts {
  const images = new Map(
    (node.status?.images ?? []).flatMap(({ names = [], sizeBytes = 0 }) =>
      names.map((name): [string, number] => [name, sizeBytes]),
    ),
  );
  return { node, labels: node.metadata.labels ?? {}, capacity: capacityOf(node), images };
}

/** A node whose pods come and go. */
export class MutableLoad implements NodeLoad {
  readonly amounts = new Map<string, number>();
  readonly pods = new Map<string, PodNeeds>();
  readonly owners = new Map<string, number>();
  readonly looks = new Map<string, PodGroup>();
  readonly wishes = new Map<string, PodGroup>();
  readonly estimates = { cpu: 0, memory: 0 };
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

  get images(): ReadonlyMap<string, number> {
    return this.#facts.images;
  }

  add(key: string, needs: PodNeeds): void {
    this.remove(key);
    this.pods.set(key, needs);
    this.#count(needs, 1);
  }

  remove(key: string): void {
    const needs = this.pods.get(key);
    if (!needs) return;
    this.pods.delete(key);
    this.#count(needs, -1);
  }

  #count(needs: PodNeeds, sign: 1 | -1): void {
    const { amounts, owner, estimates } = needs;
    group(this.looks, needs.looks, { needs, sign });
    if (needs.wishes !== "") group(this.wishes, needs.wishes, { needs, sign });
    this.estimates.cpu += sign * estimates.cpu;
    this.estimates.memory += sign * estimates.memory;
    for (const [resource, amount] of amounts)
      this.amounts.set(resource, (this.amounts.get(resource) ?? 0) + sign * amount);
    if (owner === undefined) return;
    const count = (this.owners.get(owner) ?? 0) + sign;
    if (count > 0) this.owners.set(owner, count);
    else this.owners.delete(owner);
  }
}

function group(
  groups: Map<string, PodGroup>,
  key: string,
  { needs, sign }: { readonly needs: PodNeeds; readonly sign: 1 | -1 },
): void {
  const known = groups.get(key);
  const count = (known?.count ?? 0) + sign;
  if (count > 0) groups.set(key, { sample: known?.sample ?? needs, count });
  else groups.delete(key);
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

/** The pods of a namespace on a node that a selector selects and that stay. */
export function countSelected(
  { looks }: NodeLoad,
  namespace: string,
  selects: (labels: PodNeeds["labels"]) => boolean,
): number {
  let count = 0;
  for (const { sample, count: alike } of looks.values())
    if (sample.namespace === namespace && !sample.pod.metadata.deletionTimestamp && selects(sample.labels))
      count += alike;
  return count;
}
