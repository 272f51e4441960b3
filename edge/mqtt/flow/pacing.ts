import type { Clock } from "#shared/clock";
import type { Outbound } from "./outbound.ts";

/** A client that publishes and can be paused. */
export interface Publisher {
  /** What is sent to itself. */
  readonly outbound: Outbound;
  /** Whether it is paused: nothing is read from it. */
  isHeld: boolean;
  /** Called when reading goes on. */
  resume(): void;
  /** Restarts its keepalive time: while it is paused, its pings are not read. */
  keepAlive(): void;
}

export interface PacingRules {
  readonly isStalled: (outbound: Outbound) => boolean;
  readonly isCaughtUp: (outbound: Outbound) => boolean;
}

/** How long a slow subscriber may pause publishers before it has caught up: longer than a stall of a radio link. */
const mostPerSubscriberMs = 5000;
/** How long a publisher may be paused at a stretch, and which share of its time afterwards. */
const mostPerPublisherMs = 5000;
const publisherShare = 0.1;
/** Well below the shortest keepalive (1 s), which is restarted at each check. */
const checkEveryMs = 200;

interface Held {
  /** paused publishers, and since when */
  readonly publishers: Map<Publisher, number>;
  readonly sinceMs: number;
}

/** How long a publisher may be paused, as of `atMs`. */
interface Allowance {
  readonly leftMs: number;
  readonly atMs: number;
}

/**
 * Backpressure: pauses a publisher, by not reading from it, while a subscriber of its messages is behind but reading, so
 * that bursts are delivered without loss. Subscribers cannot block publishers with it: none waits for a subscriber that
 * reads nothing, a slow one pauses publishers for some seconds only, and a publisher that has been paused so long is
 * paused for a tenth of its time at most. Messages of edgecore itself are never delayed.
 */
export class Pacing {
  readonly #clock: Clock;
  readonly #rules: PacingRules;
  readonly #held = new Map<Outbound, Held>();
  /** how long subscribers that have not caught up since have paused publishers */
  readonly #spentMs = new Map<Outbound, number>();
  readonly #allowances = new WeakMap<Publisher, Allowance>();
  #timer: Disposable | undefined;

  constructor(clock: Clock, rules: PacingRules) {
    this.#clock = clock;
    this.#rules = rules;
  }

  /** A message of the publisher is for a subscriber that is behind. */
  hold(publisher: Publisher, outbound: Outbound): void {
    // A client that subscribes to its own messages would wait for itself.
    if (publisher.isHeld || publisher.outbound === outbound || !this.#mayPause(outbound)) return;
    if (this.#allowanceOf(publisher) <= 0) return;
    publisher.isHeld = true;
    const nowMs = this.#clock.monotonicMs();
    const held = this.#held.get(outbound) ?? { publishers: new Map(), sinceMs: nowMs };
    this.#held.set(outbound, held);
    held.publishers.set(publisher, nowMs);
    this.#timer ??= this.#clock.every(checkEveryMs, () => this.#check());
  }

  /** The subscriber has read or acknowledged something. */
  progressed(outbound: Outbound): void {
    if (this.#held.has(outbound) && this.#rules.isCaughtUp(outbound)) this.#release(outbound);
    if (this.#spentMs.size > 0 && outbound.isDrained()) this.#spentMs.delete(outbound);
  }

  /** A connection is closed. */
  forget(outbound: Outbound): void {
    this.#release(outbound);
    this.#spentMs.delete(outbound);
    for (const [subscriber, { publishers }] of this.#held) {
      for (const publisher of publishers.keys())
        if (publisher.outbound === outbound) publishers.delete(publisher);
      if (publishers.size === 0) this.#release(subscriber);
    }
  }

  #mayPause(outbound: Outbound): boolean {
    const spentMs = (this.#spentMs.get(outbound) ?? 0) + this.#heldMs(outbound);
    return spentMs < mostPerSubscriberMs && !this.#rules.isStalled(outbound);
  }

  #heldMs(outbound: Outbound): number {
    const held = this.#held.get(outbound);
    return held ? this.#clock.monotonicMs() - held.sinceMs : 0;
  }

  #check(): void {
    for (const [outbound, { publishers }] of this.#held) {
      for (const [publisher, sinceMs] of publishers) {
        publisher.keepAlive();
        if (this.#allowanceOf(publisher) > this.#clock.monotonicMs() - sinceMs) continue;
        publishers.delete(publisher);
        this.#resume(publisher, sinceMs);
      }
      if (publishers.size === 0 || !this.#mayPause(outbound)) this.#release(outbound);
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

  /** How long the publisher may be paused now: what it has used up is regained slowly. */
  #allowanceOf(publisher: Publisher): number {
    const { leftMs, atMs } = this.#allowances.get(publisher) ?? { leftMs: mostPerPublisherMs, atMs: 0 };
    const regainedMs = (this.#clock.monotonicMs() - atMs) * publisherShare;
    return Math.min(mostPerPublisherMs, leftMs + regainedMs);
  }
}
