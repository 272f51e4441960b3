import type { KubeObject, OwnerReference } from "#shared/kube";

const foreground = "foregroundDeletion";

/** Who owns whom, by uid of the owner and key of the dependent, and which objects wait for their dependents to be gone. */
export class OwnerGraph {
  readonly #dependents = new Map<string, Set<string>>();
  /** The dependents of an owner that it waits for. */
  readonly #blocking = new Map<string, Set<string>>();
  readonly #waiting = new Set<string>();

  add(key: string, object: KubeObject): void {
    for (const owner of ownersOf(object)) {
      addTo(this.#dependents, owner.uid, key);
      if (owner.blockOwnerDeletion === true) addTo(this.#blocking, owner.uid, key);
    }
    if (waitsForDependents(object)) this.#waiting.add(key);
  }

  remove(key: string, object: KubeObject): void {
    for (const { uid } of ownersOf(object)) {
      removeFrom(this.#dependents, uid, key);
      removeFrom(this.#blocking, uid, key);
    }
    this.#waiting.delete(key);
  }

  dependentsOf({ metadata }: KubeObject): ReadonlySet<string> {
    return this.#dependents.get(metadata.uid ?? "") ?? none;
  }

  /** Dependents that say they keep their owner; whether they name the owner where it is has to be looked at. */
  blockersOf({ metadata }: KubeObject): ReadonlySet<string> {
    return this.#blocking.get(metadata.uid ?? "") ?? none;
  }

  /** Objects that are being deleted in the foreground. */
  waiting(): ReadonlySet<string> {
    return this.#waiting;
  }
}

const none: ReadonlySet<string> = new Set<string>();

function addTo(map: Map<string, Set<string>>, uid: string, key: string): void {
  const keys = map.get(uid);
  if (keys) keys.add(key);
  else map.set(uid, new Set([key]));
}

function removeFrom(map: Map<string, Set<string>>, uid: string, key: string): void {
  const keys = map.get(uid);
  keys?.delete(key);
  if (keys?.size === 0) map.delete(uid);
}

export function ownersOf(object: KubeObject | undefined): readonly OwnerReference[] {
  return object?.metadata.ownerReferences ?? [];
}

export function waitsForDependents({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.finalizers?.includes(foreground) === true;
}

/**
 * The circles of a directed graph: each a set of nodes that reach each other, or one node that points at itself. By Tarjan's
 * algorithm on a stack of its own, since a chain of owners may be longer than the call stack is deep.
 */
export function circlesOf(
  nodes: Iterable<string>,
  next: (node: string) => readonly string[],
): ReadonlySet<string>[] {
  const search = new CircleSearch(next);
  for (const node of nodes) search.from(node);
  return search.circles;
}

interface Visit {
  readonly node: string;
  readonly targets: readonly string[];
  at: number;
}

class CircleSearch {
  readonly circles: ReadonlySet<string>[] = [];
  readonly #next: (node: string) => readonly string[];
  readonly #order = new Map<string, number>();
  readonly #lowest = new Map<string, number>();
  readonly #open: string[] = [];
  readonly #isOpen = new Set<string>();
  readonly #path: Visit[] = [];

  constructor(next: (node: string) => readonly string[]) {
    this.#next = next;
  }

  from(start: string): void {
    if (this.#order.has(start)) return;
    this.#enter(start);
    for (let visit = this.#path.at(-1); visit; visit = this.#path.at(-1)) {
      const target = visit.targets[visit.at];
      visit.at += 1;
      if (target === undefined) this.#leave(visit);
      else if (!this.#order.has(target)) this.#enter(target);
      else if (this.#isOpen.has(target)) this.#lower(visit.node, this.#order.get(target));
    }
  }

  #enter(node: string): void {
    this.#order.set(node, this.#order.size);
    this.#lowest.set(node, this.#order.size - 1);
    this.#open.push(node);
    this.#isOpen.add(node);
    this.#path.push({ node, targets: this.#next(node), at: 0 });
  }

  #leave({ node, targets }: Visit): void {
    this.#path.pop();
    const before = this.#path.at(-1);
    if (before) this.#lower(before.node, this.#lowest.get(node));
    if (this.#lowest.get(node) !== this.#order.get(node)) return;
    const circle = new Set<string>();
    for (let one = this.#open.pop(); one !== undefined; one = this.#open.pop()) {
      this.#isOpen.delete(one);
      circle.add(one);
      if (one === node) break;
    }
    if (circle.size > 1 || targets.includes(node)) this.circles.push(circle);
  }

  #lower(node: string, to = 0): void {
    this.#lowest.set(node, Math.min(this.#lowest.get(node) ?? to, to));
  }
}
