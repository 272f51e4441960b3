/** The current objects of one resource by key (`<namespace>/<name>`), in the order the API lists them. */
export class ResourceIndex {
  readonly #revisions = new Map<string, number>();
  #sorted: string[] | undefined;

  get size(): number {
    return this.#revisions.size;
  }

  get(key: string): number | undefined {
    return this.#revisions.get(key);
  }

  set(key: string, revision: number): void {
    if (!this.#revisions.has(key)) this.#sorted = undefined;
    this.#revisions.set(key, revision);
  }

  delete(key: string): void {
    if (this.#revisions.delete(key)) this.#sorted = undefined;
  }

  /** Keys that start with `prefix` and come after `after`. */
  keys(prefix: string, after = ""): string[] {
    const sorted = (this.#sorted ??= [...this.#revisions.keys()].sort(byText));
    const first = after > prefix ? lowerBound(sorted, `${after}\0`) : lowerBound(sorted, prefix);
    if (prefix === "") return first === 0 ? sorted : sorted.slice(first);
    return sorted.slice(first, lowerBound(sorted, `${prefix}\uffff`));
  }

  /** Revisions of the keys that start with `prefix`, in their order. */
  revisions(prefix: string): Float64Array {
    return Float64Array.from(this.keys(prefix), (key) => this.#revisions.get(key) ?? 0);
  }
}

/** Compares by UTF-16 code units, the order of lists. */
export function byText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? "") < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
