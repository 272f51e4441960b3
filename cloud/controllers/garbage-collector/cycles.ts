/**
 * The cycles of a directed graph: sets of nodes that reach each other, and nodes that point at themselves. Tarjan's
 * algorithm for strongly connected components, with its own stack, as a chain of owners may be longer than the call stack
 * is deep.
 */
export function cyclesOf(
  nodes: Iterable<string>,
  next: (node: string) => readonly string[],
): ReadonlySet<string>[] {
  const search = new CycleSearch(next);
  for (const node of nodes) search.run(node);
  return search.cycles;
}

interface Visit {
  readonly node: string;
  readonly targets: readonly string[];
  /** Index of the next target to follow. */
  next: number;
}

class CycleSearch {
  readonly cycles: ReadonlySet<string>[] = [];
  readonly #next: (node: string) => readonly string[];
  readonly #order = new Map<string, number>();
  readonly #lowest = new Map<string, number>();
  readonly #open: string[] = [];
  readonly #isOpen = new Set<string>();
  readonly #path: Visit[] = [];

  constructor(next: (node: string) => readonly string[]) {
    this.#next = next;
  }

  run(start: string): void {
    if (this.#order.has(start)) return;
    this.#enter(start);
    for (let visit = this.#path.at(-1); visit; visit = this.#path.at(-1)) {
      const target = visit.targets[visit.next];
      visit.next += 1;
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
    this.#path.push({ node, targets: this.#next(node), next: 0 });
  }

  #leave({ node, targets }: Visit): void {
    this.#path.pop();
    const before = this.#path.at(-1);
    if (before) this.#lower(before.node, this.#lowest.get(node));
    if (this.#lowest.get(node) !== this.#order.get(node)) return;
    const cycle = new Set<string>();
    for (let member = this.#open.pop(); member !== undefined; member = this.#open.pop()) {
      this.#isOpen.delete(member);
      cycle.add(member);
      if (member === node) break;
    }
    if (cycle.size > 1 || targets.includes(node)) this.cycles.push(cycle);
  }

  #lower(node: string, order = 0): void {
    this.#lowest.set(node, Math.min(this.#lowest.get(node) ?? order, order));
  }
}
