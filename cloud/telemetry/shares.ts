export interface Share {
  readonly node: string;
  readonly bytes: number;
}

/** What each node has of the space for uploads. */
export class Shares {
  readonly #bytes: Map<string, number>;

  constructor(shares: readonly Share[]) {
    this.#bytes = new Map(shares.map(({ node, bytes }) => [node, bytes]));
  }

  add({ node, bytes }: Share): void {
    const sum = (this.#bytes.get(node) ?? 0) + bytes;
    if (sum > 0) this.#bytes.set(node, sum);
    else this.#bytes.delete(node);
  }

  /** The node that has most, and how much more that is than what the next one has. */
  largest(): { readonly node: string; readonly ahead: number } | undefined {
    let first: Share | undefined;
    let second = 0;
    for (const [node, bytes] of this.#bytes) {
      if (first && bytes <= first.bytes) second = Math.max(second, bytes);
      else {
        second = first?.bytes ?? 0;
        first = { node, bytes };
      }
    }
    return first && { node: first.node, ahead: first.bytes - second };
  }
}
