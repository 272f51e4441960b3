/** How many of each are under way. */
export class Counts {
  readonly #counts = new Map<string, number>();
  #together = 0;

  get together(): number {
    return this.#together;
  }

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  /** Counts one until it is disposed. */
  enter(key: string): Disposable {
    this.#add(key, 1);
    return { [Symbol.dispose]: () => this.#add(key, -1) };
  }

  #add(key: string, change: 1 | -1): void {
    const count = this.of(key) + change;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
    this.#together += change;
  }
}
