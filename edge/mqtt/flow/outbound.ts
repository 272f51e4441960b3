import type { Duplex } from "node:stream";
import { FrameQueue, type Frame } from "./frame-queue.ts";

/** About the bytes of one write: a socket keeps a copy of what it cannot send at once, for each client. */
const chunkBytes = 32 * 1024;

/** What an `Outbound` reports to its `OutboundBacklog`. */
export interface Ledger {
  readonly nowMs: () => number;
  /** The weight of what waits for the client has changed by `change`. */
  changed(outbound: Outbound, change: number): void;
  /** Requests a flush at the end of this turn of the event loop. */
  flushSoon(outbound: Outbound): void;
  /** The client has read or acknowledged something. */
  progressed(outbound: Outbound): void;
  closed(outbound: Outbound): void;
}

interface Waiter {
  readonly most: number;
  readonly resolve: () => void;
}

/**
 * Everything that is to be sent to one client, in order. What one turn of the event loop adds is one write, and the socket
 * gets the next chunk when it has sent the one before, so that what waits is here, where it is counted and can be dropped.
 */
export class Outbound {
  readonly conn: Duplex;
  /** the client id, for the log */
  readonly client: () => string;
  readonly #ledger: Ledger;
  readonly #queue = new FrameQueue();
  /** bytes given to the socket and not sent yet */
  #pending = 0;
  #isScheduled = false;
  #isSealed = false;
  #waiters: Waiter[] = [];
  #taken = 0;
  #behindSinceMs = 0;
  #progressMs = 0;
  /** messages dropped because the client reads too slowly */
  dropped = 0;
  /** How full the other queue of the client is, that of its session, 0 to 1: a full one drops messages. */
  fill: () => number = () => 0;
  /** Called when something was sent. */
  onTaken: () => void = () => undefined;

  /** Everything that is written to the connection goes through it. */
  constructor(conn: Duplex, { client, ledger }: { readonly client: () => string; readonly ledger: Ledger }) {
    this.conn = conn;
    this.client = client;
    this.#ledger = ledger;
    conn.once("close", () => this.#close());
  }

  /** About the bytes of memory that wait for the client. */
  get waiting(): number {
    return this.#queue.weight + this.#pending;
  }

  /** About the bytes of memory that droppable messages take. */
  get droppable(): number {
    return this.#queue.droppableWeight;
  }

  /** bytes the socket has sent so far */
  get taken(): number {
    return this.#taken;
  }

  /** How long the client has read and acknowledged nothing although something waits. */
  idleMs(): number {
    return this.#ledger.nowMs() - Math.max(this.#progressMs, this.#behindSinceMs);
  }

  /** Whether the client has read and acknowledged nearly everything that was for it. */
  isDrained(): boolean {
    return this.waiting <= chunkBytes && this.fill() < 1 / 100;
  }

  send(bytes: Buffer): void {
    this.push({ bytes, mayDrop: false });
  }

  /** Nothing is taken any more; what waits is still sent. */
  seal(): void {
    this.#isSealed = true;
  }

  push(frame: Frame): void {
    if (this.conn.destroyed || this.#isSealed) return;
    if (this.#pending === 0 && this.#queue.weight === 0) this.#behindSinceMs = this.#ledger.nowMs();
    const weight = this.#queue.push(frame);
    if (this.#pending === 0) {
      if (this.#queue.weight >= chunkBytes) this.flush();
      else this.#flushSoon();
    }
    this.#ledger.changed(this, weight);
  }

  /** Gives the next chunk to the socket, unless that is still sending one. */
  flush(): void {
    this.#isScheduled = false;
    if (this.#pending > 0 || this.conn.destroyed) return;
    const before = this.#queue.weight;
    const chunk = this.#queue.take(chunkBytes);
    if (!chunk) return;
    this.#pending = chunk.length;
    this.#ledger.changed(this, this.waiting - before);
    this.conn.write(chunk, (error) => this.#sent(error));
  }

  /** Drops messages of QoS 0 of `minWeight` together, the oldest first. @returns how many */
  drop(minWeight: number): number {
    const { messages, weight } = this.#queue.dropOldest(minWeight);
    this.dropped += messages;
    this.#ledger.changed(this, -weight);
    return messages;
  }

  /** The client has acknowledged something. */
  acknowledged(): void {
    this.#progressMs = this.#ledger.nowMs();
    this.#ledger.progressed(this);
  }

  /** Disconnects the client and drops what waits for it. */
  cut(error: Error): void {
    this.#clear();
    this.conn.destroy(error);
  }

  /** Resolves when at most `most` bytes wait, or the connection is closed. */
  async drained(most: number): Promise<void> {
    if (this.waiting <= most || this.conn.destroyed) return;
    await new Promise<void>((resolve) => this.#waiters.push({ most, resolve }));
  }

  #flushSoon(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#ledger.flushSoon(this);
  }

  #sent(error: Error | null | undefined): void {
    const sent = this.#pending;
    if (error || sent === 0) return;
    this.#pending = 0;
    this.#taken += sent;
    this.#progressMs = this.#ledger.nowMs();
    this.flush();
    this.#ledger.changed(this, -sent);
    this.#ledger.progressed(this);
    this.#wake();
    this.onTaken();
  }

  #wake(): void {
    if (this.#waiters.length === 0) return;
    const isDone = ({ most }: Waiter): boolean => this.waiting <= most || this.conn.destroyed;
    const done = this.#waiters.filter(isDone);
    this.#waiters = this.#waiters.filter((waiter) => !isDone(waiter));
    for (const { resolve } of done) resolve();
  }

  #close(): void {
    this.#clear();
    this.#ledger.closed(this);
    this.#wake();
  }

  #clear(): void {
    const { waiting } = this;
    this.#queue.clear();
    this.#pending = 0;
    this.#ledger.changed(this, -waiting);
  }
}
