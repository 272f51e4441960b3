import type { Clock } from "#shared/clock";
import { leastOpenFiles, openFilesLimit } from "./open-files.ts";

export interface BudgetOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  /** Whether files are left for more sockets; what else the process needs is kept free. */
  readonly hasFiles: () => boolean;
  /** Sockets of those who have not shown who they are. */
  readonly unproven: number;
  /** Of these, sockets of one address. */
  readonly perAddress: number;
}

/** A connection's place; every method may be called at any time, also after it left. */
export interface Place {
  /**
   * It is authenticated, and counts no longer against its address.
   * @param most connections this one may have
   * @returns false when there are as many already: it should be closed
   */
  prove(who: string, most: number): boolean;
  /** It takes more sockets. @returns false when there are none left: it should be closed */
  grow(sockets: number): boolean;
  leave(): void;
}

/** A client that takes longer gives way to a new one when there is no room: a handshake takes milliseconds. */
const graceMs = 3_000;

/** Enough to meet one of an address that has many. */
const lookedAt = 64;

interface Held {
  readonly address: string;
  readonly sinceMs: number;
  readonly close: () => void;
  sockets: number;
  who: string | undefined;
  left: boolean;
}

type Bounds = Pick<BudgetOptions, "unproven" | "perAddress">;

/** The share of clients that are not authenticated. */
export function boundsOf(files: number): Bounds {
  const within = (value: number, least: number, most: number): number =>
    Math.max(least, Math.min(most, Math.floor(value)));
  return { unproven: within(files / 5, 16, 16_384), perAddress: within(files / 20, 8, 1024) };
}

/** The budget of a process: an eighth of its files are for all that is no connection. */
export function budgetOfProcess(clock: Pick<Clock, "monotonicMs">): ConnectionBudget {
  const files = openFilesLimit();
  const most = files - Math.max(24, Math.ceil(files / 8));
  return new ConnectionBudget({ ...boundsOf(files), hasFiles: () => leastOpenFiles() < most, clock });
}

/**
 * Places for the connections of all servers of a process. Unauthenticated clients have a share of them, and so has each
 * address; when it is used up, the oldest that has had its time gives way to a new one, which is refused otherwise.
 * Authenticated clients have the rest, so that any number of nodes may connect from behind one address.
 */
export class ConnectionBudget {
  readonly #options: BudgetOptions;
  /** oldest first */
  readonly #unproven = new Set<Held>();
  readonly #ofAddress = new Map<string, number>();
  readonly #ofWho = new Map<string, number>();
  #unprovenSockets = 0;
  #sockets = 0;

  constructor(options: BudgetOptions) {
    this.#options = options;
  }

  get sockets(): number {
    return this.#sockets;
  }

  /** @returns undefined when there is no room: the connection should be closed at once */
  admit(peer: string | undefined, close: () => void): Place | undefined {
    const { clock, hasFiles, unproven, perAddress } = this.#options;
    const address = networkOf(peer ?? "");
    const sinceMs = clock.monotonicMs();
    const fits = (): boolean => this.#unprovenSockets < unproven && hasFiles();
    const isCrowded = (this.#ofAddress.get(address) ?? 0) >= perAddress;
    if (isCrowded && !this.#dismiss(this.#late(sinceMs, address))) return undefined;
    if (!fits() && !this.#dismiss(this.#late(sinceMs) ?? this.#greedy(address))) return undefined;
    const held: Held = { address, sinceMs, close, sockets: 1, who: undefined, left: false };
    this.#unproven.add(held);
    this.#count(held, 1);
    return {
      prove: (who, most) => this.#prove(held, who, most),
      grow: (sockets) => this.#grow(held, sockets),
      leave: () => this.#leave(held),
    };
  }

  #dismiss(held: Held | undefined): boolean {
    if (!held) return false;
    this.#leave(held);
    held.close();
    return true;
  }

  /** The oldest unauthenticated client, of that address if one is given, that has had its time. */
  #late(nowMs: number, address?: string): Held | undefined {
    for (const held of this.#unproven) {
      if (nowMs - held.sinceMs < graceMs) return undefined;
      if (address === undefined || held.address === address) return held;
    }
    return undefined;
  }

  /** A client of an address with more of them than the new one's: however fast it reconnects, it does not crowd out others. */
  #greedy(newcomer: string): Held | undefined {
    let most = (this.#ofAddress.get(newcomer) ?? 0) + 1;
    let found: Held | undefined;
    let looked = 0;
    for (const held of this.#unproven) {
      const count = this.#ofAddress.get(held.address) ?? 0;
      if (count > most) [most, found] = [count, held];
      if ((looked += 1) >= lookedAt) break;
    }
    return found;
  }

  #prove(held: Held, who: string, most: number): boolean {
    if (held.left) return false;
    if (held.who !== undefined) return true;
    const connections = this.#ofWho.get(who) ?? 0;
    if (connections >= most) return false;
    this.#forgetUnproven(held);
    held.who = who;
    this.#ofWho.set(who, connections + 1);
    return true;
  }

  #grow(held: Held, sockets: number): boolean {
    const { hasFiles, unproven } = this.#options;
    if (held.left || !hasFiles()) return false;
    if (held.who === undefined && this.#unprovenSockets + sockets > unproven) return false;
    held.sockets += sockets;
    this.#count(held, sockets);
    return true;
  }

  #leave(held: Held): void {
    if (held.left) return;
    held.left = true;
    this.#sockets -= held.sockets;
    if (held.who === undefined) this.#forgetUnproven(held);
    else subtract(this.#ofWho, held.who, 1);
  }

  #count(held: Held, sockets: number): void {
    this.#sockets += sockets;
    if (held.who !== undefined) return;
    this.#unprovenSockets += sockets;
    this.#ofAddress.set(held.address, (this.#ofAddress.get(held.address) ?? 0) + sockets);
  }

  #forgetUnproven(held: Held): void {
    this.#unproven.delete(held);
    this.#unprovenSockets -= held.sockets;
    subtract(this.#ofAddress, held.address, held.sockets);
  }
}

/** A host with an IPv6 address usually has all 2^64 of its network. */
function networkOf(address: string): string {
  const [, v4] = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  if (v4 !== undefined) return v4;
  const [head = "", tail] = address.split("::");
  const groups = head.split(":").filter((group) => group !== "");
  if (tail === undefined) return groups.slice(0, 4).join(":");
  const after = tail.split(":").filter((group) => group !== "");
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - after.length) }, () => "0");
  return [...groups, ...zeros, ...after].slice(0, 4).join(":");
}

function subtract(counts: Map<string, number>, key: string, count: number): void {
  const left = (counts.get(key) ?? 0) - count;
  if (left > 0) counts.set(key, left);
  else counts.delete(key);
}
