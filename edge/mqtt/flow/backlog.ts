import type { Duplex } from "node:stream";
import { onNextTurn, type Clock } from "#shared/clock";
import { Outbound, type Ledger } from "./outbound.ts";
import { Pacing, type Publisher } from "./pacing.ts";

export interface OutboundBacklogOptions {
  /** bytes that may wait for all clients together */
  readonly mostBytes: number;
  /** size of the largest packet */
  readonly maxPacketBytes: number;
  readonly clock: Clock;
  /** Messages of QoS 0 were dropped because the client reads too slowly. */
  readonly onDropped: (outbound: Outbound, messages: number) => void;
  /** A client was disconnected: too many bytes wait for it that may not be dropped. */
  readonly onCut: (outbound: Outbound, waitingBytes: number) => void;
}

/** Bytes that may wait for one client, as many as the queue of a session holds. */
const mostPerClient = 8 * 1024 * 1024;
/** Bytes that may wait for a client that keeps up: two writes. */
const keepsUpBytes = 64 * 1024;
/** A client that has read nothing for so long pauses nobody, and loses its messages before others do. */
export const stalledMs = 2000;
/** How much more a stalled client counts when bytes are to be freed. */
const stalledFactor = 4;

/**
 * Bounds what waits for all clients. If it is too much for one client, its oldest messages of QoS 0 are dropped; if it is too
 * much in total, those of the client with the most, stalled clients first. A client is disconnected only if what waits for it
 * may not be dropped. Before that, publishers are paused for clients that read (see `Pacing`).
 */
export class OutboundBacklog implements Ledger {
  readonly pacing: Pacing;
  readonly #options: OutboundBacklogOptions;
  readonly #mostPerClient: number;
  readonly #most: number;
  /** clients for which something waits */
  readonly #behind = new Set<Outbound>();
  #dirty: Outbound[] = [];
  #bytes = 0;
  #isShedding = false;
  /** clients disconnected because of what waited for them */
  cut = 0;

  constructor(options: OutboundBacklogOptions) {
    const { mostBytes, maxPacketBytes, clock } = options;
    this.#options = options;
    // One packet of the largest size may always wait.
    this.#mostPerClient = Math.max(Math.min(mostPerClient, mostBytes / 2), maxPacketBytes + keepsUpBytes);
    this.#most = Math.max(mostBytes, 2 * this.#mostPerClient);
    this.pacing = new Pacing(clock, {
      isStalled: (outbound) => outbound.idleMs() >= stalledMs,
      isCaughtUp: (outbound) => this.#isCaughtUp(outbound),
    });
  }

  /** bytes that wait for all clients */
  get bytes(): number {
    return this.#bytes;
  }

  /** clients that do not keep up */
  get slow(): number {
    let slow = 0;
    for (const { waiting } of this.#behind) slow += Number(waiting >= keepsUpBytes);
    return slow;
  }

  /** @param client returns the client id for the log */
  open(conn: Duplex, client: () => string): Outbound {
    return new Outbound(conn, { client, ledger: this });
  }

  /** A message was published for a client: its publisher may be paused. */
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
    if (outbound.waiting > this.#mostPerClient && outbound.waiting > change)
      this.#shedOne(outbound, outbound.waiting - this.#mostPerClient);
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
    if (waiting > this.#mostPerClient / 2) return true;
    return (waiting >= keepsUpBytes && this.#bytes > this.#most / 2) || outbound.fill() > 1 / 2;
  }

  #isCaughtUp(outbound: Outbound): boolean {
    const { waiting } = outbound;
    if (waiting > this.#mostPerClient / 8 || outbound.fill() > 1 / 4) return false;
    return waiting < keepsUpBytes || this.#bytes <= this.#most / 2;
  }

  /** Frees `minWeight` bytes of one client, or disconnects it if they are not droppable. */
  #shedOne(outbound: Outbound, minWeight: number): void {
    if (outbound.droppable > 0) this.#options.onDropped(outbound, outbound.drop(minWeight));
    if (outbound.waiting > this.#mostPerClient) this.#cut(outbound);
  }

  /** Frees a sixteenth more than needed, so that the next message does not examine all clients again. */
  #shedAll(): void {
    const target = this.#most - this.#most / 16;
    while (this.#bytes > target) {
      const outbound = this.#worst();
      if (!outbound) return;
      if (outbound.droppable > 0) this.#options.onDropped(outbound, outbound.drop(outbound.droppable / 2));
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
