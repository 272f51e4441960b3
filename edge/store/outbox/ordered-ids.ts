/** Ids with a key each, read in order from any of them on; those that are added are the largest, but for a few. */
export class OrderedIds {
  readonly #keys = new Map<number, string>();
  /** Ascending; has ids that were removed as well. */
  #ids: number[] = [];

  get size(): number {
    return this.#keys.size;
  }

  has(id: number): boolean {
    return this.#keys.has(id);
  }

  get(id: number): string | undefined {
    return this.#keys.get(id);
  }

  keys(): string[] {
    return [...this.#keys.values()];
  }

  set(id: number, key: string): void {
    if (!this.#keys.has(id)) this.#insert(id);
    this.#keys.set(id, key);
  }

  delete(id: number): boolean {
    const wasThere = this.#keys.delete(id);
    // Half of them are gone: one pass for as many removals.
    if (this.#ids.length > 64 && this.#ids.length > this.#keys.size * 2)
      this.#ids = this.#ids.filter((one) => this.#keys.has(one));
    return wasThere;
  }

  /** @param most how many at most */
  after(id: number, most: number): number[] {
    const found: number[] = [];
    for (let at = this.#placeAfter(id); at < this.#ids.length && found.length < most; at += 1) {
      const next = this.#ids[at] ?? 0;
      if (this.#keys.has(next)) found.push(next);
    }
    return found;
  }

  #insert(id: number): void {
    const last = this.#ids.at(-1) ?? 0;
    if (id > last) {
      this.#ids.push(id);
      return;
    }
    const at = this.#placeAfter(id);
    if (this.#ids[at - 1] !== id) this.#ids.splice(at, 0, id);
  }

  /** Where the first id is that is greater. */
  #placeAfter(id: number): number {
    let [low, high] = [0, this.#ids.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ids[middle] ?? 0) <= id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
