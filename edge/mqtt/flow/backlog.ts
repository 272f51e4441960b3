import type { Duplex } from "node:stream";
import { onNextTurn, type Clock } from "#shared/clock";
import { Outbound, type Ledger } from "./outbound.ts";
import { Pacing, type Publisher } from "./pacing.ts";

export interface OutboundBacklogOptions {
  /** most that waits for all clients together */
  readonly mostBytes: number;
  /** of one message */
  readonly maxPacketBytes: number;
  readonly clock: Clock;
  /** Messages of QoS 0 were dropped: the client is too slow. */
  readonly onDropped: (outbound: Outbound, messages: number) => void;
  /** A client was disconnected: what waits for it is too much, and may not be dropped. */
  readonly onCut: (outbound: Outbound, waiting: number) => void;
}

/** Bytes that may wait for one client. */
const mostOfOne = 8 * 1024 * 1024;
/** What a client that keeps up may have waiting. */
const worthWatching = 64 * 1024;
/** A client that has taken nothing for so long is not worth waiting for, and gives way before others. */
export const stalledMs = 2000;
const stalledFactor = 4;

/**
 * What waits for all clients. Where it is too much for one client, its oldest messages of QoS 0 are dropped; where it is
 * too much in all, those of whom most waits for, who has stalled before who reads. Only a client whose messages may not be
 * dropped is disconnected. Before that, publishers are paused for clients that read (see `Pacing`).
 */
export class OutboundBacklog implements Ledger {
  readonly pacing: Pacing;
  readonly #options: OutboundBacklogOptions;
  readonly #mostOfOne: number;
  readonly #most: number;
  /** those for whom something waits */
  readonly #behind = new Set<Outbound>();
  #dirty: Outbound[] = [];
  #bytes = 0;
  #isShedding = false;
  /** clients disconnected for what waited for them */
  cut = 0;

  constructor(options: OutboundBacklogOptions) {
    const { mostBytes, maxPacketBytes, clock } = options;
    this.#options = options;
    // One message of the largest size may always wait.
    this.#mostOfOne = Math.max(Math.min(mostOfOne, mostBytes / 2), maxPacketBytes + worthWatching);
    this.#most = Math.max(mostBytes, 2 * this.#mostOfOne);
    this.pacing = new Pacing(clock, {
      isStalled: (outbound) => outbound.idleMs() >= stalledMs,
      isCaughtUp: (outbound) => this.#isCaughtUp(outbound),
    });
  }

  /** bytes that wait for all clients */
  get bytes(): number {
    return this.#bytes;
  }

  /** clients that are behind by more than one that keeps up would be */
  get slow(): number {
    let slow = 0;
    for (const { waiting } of this.#behind) slow += Number(waiting >= worthWatching);
    return slow;
  }

  /** `client`: what it calls itself. */
  open(conn: Duplex, client: () => string): Outbound {
    return new Outbound(conn, { client, ledger: this });
  }

  /** A message was published for a client: its publisher may have to wait. */
  pace(publisher: Publisher, outbound: Outbound): void {
    if (this.#isBehind(outbound)) this.pacing.hold(publisher, outbound);
  }

  nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  changed(outbound: Outbound, change: number): void {
    this.#bytes += change;
    if (outbound.waiting === 0) this.#behind.delete(outbound);
    else this.#behind.add(outbound);
    if (change <= 0 || this.#isShedding) return;
    this.#isShedding = true;
    if (outbound.waiting > this.#mostOfOne && outbound.waiting > change)
      this.#shedOne(outbound, outbound.waiting - this.#mostOfOne);
    if (this.#bytes > this.#most) this.#shedAll();
    this.#isShedding = false;
  }

  flushSoon(outbound: Outbound): void {
    if (this.#dirty.length === 0) onNextTurn(() => this.#flushAll());
    this.#dirty.push(outbound);
  }

  progressed(outbound: Outbound): void {
    this.pacing.progressed(outbound);
  }

  closed(outbound: Outbound): void {
    this.pacing.forget(outbound);
  }

  #flushAll(): void {
    const all = this.#dirty;
    this.#dirty = [];
    for (const outbound of all) outbound.flush();
  }

  #isBehind(outbound: Outbound): boolean {
    const { waiting } = outbound;
    if (waiting > this.#mostOfOne / 2) return true;
    return (waiting >= worthWatching && this.#bytes > this.#most / 2) || outbound.fill() > 1 / 2;
  }

  #isCaughtUp(outbound: Outbound): boolean {
    const { waiting } = outbound;
    if (waiting > this.#mostOfOne / 8 || outbound.fill() > 1 / 4) return false;
    return waiting < worthWatching || this.#bytes <= this.#most / 2;
  }

  /** Frees so much at least, if it may. Else the client is disconnected. */
  #shedOne(outbound: Outbound, atLeast: number): void {
    if (outbound.loose > 0) this.#options.onDropped(outbound, outbound.drop(atLeast));
    if (outbound.waiting > this.#mostOfOne) this.#cut(outbound);
  }

  /** Some room more than is needed: the next message is not to walk over all clients again. */
  #shedAll(): void {
    const aim = this.#most - this.#most / 16;
    while (this.#bytes > aim) {
      const outbound = this.#worst();
      if (!outbound) return;
      if (outbound.loose > 0) this.#options.onDropped(outbound, outbound.drop(outbound.loose / 2));
      else this.#cut(outbound);
    }
  }

  #worst(): Outbound | undefined {
    let [worst, most]: [Outbound | undefined, number] = [undefined, 0];
    for (const outbound of this.#behind) {
      const rank = outbound.waiting * (outbound.idleMs() >= stalledMs ? stalledFactor : 1);
      if (rank > most) [worst, most] = [outbound, rank];
    }
    return worst;
  }

  #cut(outbound: Outbound): void {
    const { waiting } = outbound;
    this.cut += 1;
    outbound.cut(new Error("client does not read"));
    this.#options.onCut(outbound, waiting);
  }
}
