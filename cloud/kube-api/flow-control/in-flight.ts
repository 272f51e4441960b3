/** Whose request it is and what it needs. */
export interface Flow {
  readonly user: string;
  /** Of `system:masters`: they have seats of their own, so that an administrator gets through while others overload. */
  readonly reserved: boolean;
  readonly mutating: boolean;
  /** of its body, as far as known */
  readonly bodyBytes: number;
}

/** Bodies past this size count in the total. */
const smallBodyBytes = 64 * 1024;
const bodiesBytes = 64 * 1024 * 1024;

/**
 * Requests under way at the same time, bounded as by kube-apiserver (--max-requests-inflight 400 and
 * --max-mutating-requests-inflight 200). One user takes at most half of the seats. Watches and the server's own requests do
 * not come here.
 */
export class InFlight {
  readonly #seats: { readonly reading: number; readonly mutating: number };
  readonly #taken = new Map<string, number>();

  constructor(
    seats: { readonly reading: number; readonly mutating: number } = { reading: 400, mutating: 200 },
  ) {
    this.#seats = seats;
  }

  /** @returns undefined when there are too many; disposing gives the place back, once */
  enter(flow: Flow): Disposable | undefined {
    const kind = flow.mutating ? "mutating" : "reading";
    const all = `${flow.reserved ? "reserved" : "common"} ${kind}`;
    const own = `${all} of ${flow.user}`;
    const seats = this.#seats[kind];
    const ownSeats = flow.reserved ? seats : Math.ceil(seats / 2);
    const bodies = flow.bodyBytes > smallBodyBytes ? flow.bodyBytes : 0;
    const bodiesKey = flow.reserved ? "reserved bodies" : "common bodies";
    if (this.#of(all) >= seats || this.#of(own) >= ownSeats) return undefined;
    if (bodies > 0 && this.#of(bodiesKey) + bodies > bodiesBytes) return undefined;
    const stack = new DisposableStack();
    for (const [key, count] of [
      [all, 1],
      [own, 1],
      [bodiesKey, bodies],
    ] as const) {
      this.#add(key, count);
      stack.defer(() => this.#add(key, -count));
    }
    return stack;
  }

  #of(key: string): number {
    return this.#taken.get(key) ?? 0;
  }

  #add(key: string, count: number): void {
    const now = this.#of(key) + count;
    if (now === 0) this.#taken.delete(key);
    else this.#taken.set(key, now);
  }
}
