import type { Clock } from "#shared/clock";
import type { Outbound } from "./outbound.ts";

/** A client that publishes, as far as it can be paused. */
export interface Publisher {
  /** Its own connection. */
  readonly outbound: Outbound;
  /** Whether anything is read of it. */
  isHeld: boolean;
  /** Called when it may be read again. */
  resume(): void;
  /** It is not to blame for its silence: its keep-alive time begins again. */
  keepAlive(): void;
}

export interface PacingRules {
  readonly isStalled: (outbound: Outbound) => boolean;
  readonly isCaughtUp: (outbound: Outbound) => boolean;
}

/** How long a client may have publishers wait until it has caught up. */
const mostForReaderMs = 5000;
/** How long a publisher may be kept waiting at a stretch, and which part of its time at most. */
const mostOfPublisherMs = 5000;
const shareOfPublisher = 0.1;
const lookEveryMs = 200;

interface Held {
  /** and since when */
  readonly publishers: Map<Publisher, number>;
  readonly sinceMs: number;
}

interface Allowance {
  readonly leftMs: number;
  readonly atMs: number;
}

/**
 * Pauses a publisher, by not reading what it sends, while a client its messages are for reads but is behind: so a burst is
 * delivered without a loss. It does not let a client stop publishers: for one that reads nothing nobody waits, for one that
 * stays behind some seconds and no more, and a publisher that has waited so long waits for a tenth of its time at most.
 * Messages of edgecore itself are never paused.
 */
export class Pacing {
  readonly #clock: Clock;
  readonly #rules: PacingRules;
  readonly #held = new Map<Outbound, Held>();
  /** how long publishers have waited for clients that have not caught up since */
  readonly #spentMs = new Map<Outbound, number>();
  readonly #allowances = new WeakMap<Publisher, Allowance>();
  #timer: Disposable | undefined;

  constructor(clock: Clock, rules: PacingRules) {
    this.#clock = clock;
    this.#rules = rules;
  }

  /** A message of the publisher is for a client that is behind. */
  hold(publisher: Publisher, outbound: Outbound): void {
    // One that is behind itself would wait for its own reading.
    if (publisher.isHeld || publisher.outbound === outbound || !this.#isWorthWaiting(outbound)) return;
    if (this.#allowanceOf(publisher) <= 0) return;
    publisher.isHeld = true;
    const nowMs = this.#clock.monotonicMs();
    const held = this.#held.get(outbound) ?? { publishers: new Map(), sinceMs: nowMs };
    this.#held.set(outbound, held);
    held.publishers.set(publisher, nowMs);
    this.#timer ??= this.#clock.every(lookEveryMs, () => this.#look());
  }

  /** The client has read or acknowledged something. */
  progressed(outbound: Outbound): void {
    if (this.#held.has(outbound) && this.#rules.isCaughtUp(outbound)) this.#release(outbound);
    if (this.#spentMs.size > 0 && outbound.isEven()) this.#spentMs.delete(outbound);
  }

  /** A connection is closed. */
  forget(outbound: Outbound): void {
    this.#release(outbound);
    this.#spentMs.delete(outbound);
    for (const [reader, { publishers }] of this.#held) {
      for (const publisher of publishers.keys())
        if (publisher.outbound === outbound) publishers.delete(publisher);
      if (publishers.size === 0) this.#release(reader);
    }
  }

  #isWorthWaiting(outbound: Outbound): boolean {
    const spentMs = (this.#spentMs.get(outbound) ?? 0) + this.#heldMs(outbound);
    return spentMs < mostForReaderMs && !this.#rules.isStalled(outbound);
  }

  #heldMs(outbound: Outbound): number {
    const held = this.#held.get(outbound);
    return held ? this.#clock.monotonicMs() - held.sinceMs : 0;
  }

  #look(): void {
    for (const [outbound, { publishers }] of this.#held) {
      for (const [publisher, sinceMs] of publishers) {
        publisher.keepAlive();
        if (this.#allowanceOf(publisher) > this.#clock.monotonicMs() - sinceMs) continue;
        publishers.delete(publisher);
        this.#resume(publisher, sinceMs);
      }
      if (publishers.size === 0 || !this.#isWorthWaiting(outbound)) this.#release(outbound);
    }
  }

  #release(outbound: Outbound): void {
    const held = this.#held.get(outbound);
    if (!held) return;
    this.#spentMs.set(outbound, (this.#spentMs.get(outbound) ?? 0) + this.#heldMs(outbound));
    this.#held.delete(outbound);
    for (const [publisher, sinceMs] of held.publishers) this.#resume(publisher, sinceMs);
    if (this.#held.size > 0) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #resume(publisher: Publisher, sinceMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    const leftMs = this.#allowanceOf(publisher) - (nowMs - sinceMs);
    this.#allowances.set(publisher, { leftMs, atMs: nowMs });
    publisher.isHeld = false;
    publisher.keepAlive();
    publisher.resume();
  }

  /** How long the publisher may be paused: what it has waited comes back slowly. */
  #allowanceOf(publisher: Publisher): number {
    const { leftMs, atMs } = this.#allowances.get(publisher) ?? { leftMs: mostOfPublisherMs, atMs: 0 };
    const backMs = (this.#clock.monotonicMs() - atMs) * shareOfPublisher;
    return Math.min(mostOfPublisherMs, leftMs + backMs);
  }
}
