/** What counts of a request. */
export interface RequestFlow {
  readonly user: string;
  /** Of `system:masters`: they have seats of their own, so that an administrator gets through while others overload. */
  readonly reserved: boolean;
  readonly mutating: boolean;
  /** of its body, as far as known */
  readonly bodyBytes: number;
}

/** Larger bodies count in the total. */
const smallBodyBytes = 64 * 1024;
/** Of all bodies together: parsed they take a multiple. */
const bodiesBytes = 64 * 1024 * 1024;

/**
 * Limits requests in flight as kube-apiserver (--max-requests-inflight 400, --max-mutating-requests-inflight 200). One user
 * takes at most half of the seats. Watches and the requests of the server's own client are exempt.
 */
export class InFlight {
  readonly #seats: { readonly reading: number; readonly mutating: number };
  readonly #taken = new Map<string, number>();

  constructor(
    seats: { readonly reading: number; readonly mutating: number } = { reading: 400, mutating: 200 },
  ) {
    this.#seats = seats;
  }

  /** @returns undefined when there are too many; disposing releases the seat */
  enter(flow: RequestFlow): Disposable | undefined {
    const kind = flow.mutating ? "mutating" : "reading";
    const all = `${flow.reserved ? "reserved" : "common"} ${kind}`;
    const ofUser = `${all} of ${flow.user}`;
    const seats = this.#seats[kind];
    const userSeats = flow.reserved ? seats : Math.ceil(seats / 2);
    const bodies = flow.bodyBytes > smallBodyBytes ? flow.bodyBytes : 0;
    const bodiesKey = flow.reserved ? "reserved bodies" : "common bodies";
    if (this.#count(all) >= seats || this.#count(ofUser) >= userSeats) return undefined;
    if (bodies > 0 && this.#count(bodiesKey) + bodies > bodiesBytes) return undefined;
    const stack = new DisposableStack();
    for (const [key, count] of [
      [all, 1],
      [ofUser, 1],
      [bodiesKey, bodies],
    ] as const) {
      this.#add(key, count);
      stack.defer(() => this.#add(key, -count));
    }
    return stack;
  }

  #count(key: string): number {
    return this.#taken.get(key) ?? 0;
  }

  #add(key: string, count: number): void {
    const now = this.#count(key) + count;
    if (now === 0) this.#taken.delete(key);
    else this.#taken.set(key, now);
  }
}
