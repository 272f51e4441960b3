import type { Clock } from "#shared/clock";

/** What a node writes, each with an allowance of its own: a flood of Events must not cost a node its lease. */
export type WriteKind = "desired values" | "events" | "mirror pods" | "statuses" | "leases";

interface Allowance {
  /** What may come at once, and what comes back each second. */
  readonly writes: readonly [burst: number, perSecond: number];
  readonly bytes: readonly [burst: number, perSecond: number];
}

const MiB = 1024 * 1024;

/** A node that was offline for long sends a thousand Events and the statuses of a hundred pods; then it sends little. */
const allowances: Readonly<Record<WriteKind, Allowance>> = {
  "desired values": { writes: [1000, 2], bytes: [8 * MiB, 8192] },
  events: { writes: [1000, 0.5], bytes: [2 * MiB, 2048] },
  "mirror pods": { writes: [110, 0.1], bytes: [4 * MiB, 2048] },
  statuses: { writes: [5000, 20], bytes: [16 * MiB, 16 * 1024] },
  leases: { writes: [60, 1], bytes: [MiB, 4096] },
};

interface Account {
  readonly allowance: Allowance;
  writes: number;
  bytes: number;
  atMs: number;
}

/** With more accounts, full ones are removed; then again whenever there are twice as many as were left. */
const fewAccounts = 5000;

/**
 * How much each node may write into the API: counted by writes and by the bytes that were stored. A node may spend what it
 * has, and waits when that is gone; accounts of different kinds do not touch each other.
 */
export class WriteBudget {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #accounts = new Map<string, Account>();
  #mostAccounts = fewAccounts;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Whether the node may write now. */
  allows(node: string, kind: WriteKind): boolean {
    const account = this.#account(node, kind);
    return account.writes >= 1 && account.bytes > 0;
  }

  /** One write that was made, of an object of this size. */
  spend(node: string, kind: WriteKind, bytes: number): void {
    const account = this.#account(node, kind);
    account.writes -= 1;
    account.bytes -= bytes;
  }

  #account(node: string, kind: WriteKind): Account {
    const key = `${kind}/${node}`;
    const nowMs = this.#clock.monotonicMs();
    const known = this.#accounts.get(key);
    if (known) return refill(known, nowMs);
    if (this.#accounts.size >= this.#mostAccounts) this.#forgetFull(nowMs);
    const allowance = allowances[kind];
    const made = { allowance, writes: allowance.writes[0], bytes: allowance.bytes[0], atMs: nowMs };
    this.#accounts.set(key, made);
    return made;
  }

  /** A full account is as good as none. */
  #forgetFull(nowMs: number): void {
    for (const [key, account] of this.#accounts) {
      const { allowance, writes, bytes } = refill(account, nowMs);
      if (writes >= allowance.writes[0] && bytes >= allowance.bytes[0]) this.#accounts.delete(key);
    }
    this.#mostAccounts = Math.max(fewAccounts, 2 * this.#accounts.size);
  }
}

function refill(account: Account, nowMs: number): Account {
  const seconds = (nowMs - account.atMs) / 1000;
  const { writes, bytes } = account.allowance;
  account.writes = Math.min(writes[0], account.writes + seconds * writes[1]);
  account.bytes = Math.min(bytes[0], account.bytes + seconds * bytes[1]);
  account.atMs = nowMs;
  return account;
}
