/** Reports that nodes come and go, of each node in order. */
export class Presence {
  /** the last report of a node that is under way */
  readonly #tails = new Map<string, Promise<void>>();

  report(node: string, emit: () => Promise<void>): void {
    const tail = (this.#tails.get(node) ?? Promise.resolve()).then(emit).finally(() => {
      if (this.#tails.get(node) === tail) this.#tails.delete(node);
    });
    this.#tails.set(node, tail);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#tails.values());
  }
}
