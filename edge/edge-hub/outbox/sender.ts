import type { Outbox, OutboxEntry, OutboxShare } from "#edge/store";
import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import { decode, largestMessageBytes, type WireMessage } from "#shared/wire";
import { judgeReply } from "#edge/edge-hub/codec";

export interface SenderOptions {
  readonly outbox: Outbox;
  readonly share: OutboxShare;
  readonly clock: Clock;
  readonly log: Logger;
  /** @returns false when the link is away or full */
  readonly send: (frame: string) => boolean;
  /** Asks the peer to show that it has read everything so far; `ponged` is called with the mark. */
  readonly ping: (mark: string) => void;
}

interface InFlight {
  readonly id: number;
  readonly msgId: string;
  readonly lane: string;
  readonly bytes: number;
  tries: number;
  sentMs: number;
  /** when it is sent again */
  dueMs: number;
  /** How often it is sent to a cloud that answers others and not this. */
  patience: number;
  /** Silence or refusals of some messages must not stop the others: these no longer count for the window. */
  parked: boolean;
}

/** Messages that may be unanswered at a time. Our cloud answers a report when its status is written, which it delays. */
const windowOfOurs = 2048;
const windowOfOthers = 64;
/** What is under way cannot be folded or dropped for want of room; a message that is larger goes alone. */
const windowBytes = 2_000_000;
const mostParkedBytes = 2_000_000;
/** Messages read from the disk at a time. */
const page = 64;
const mostParked = 448;
const answerMs = 10_000;
const longestWaitMs = 300_000;
const parkAfterTries = 2;
const flushAfterMs = 25;
const removeAgainMs = 5000;
/** The cloud would end the connection over it, each time anew. */
const tooLarge = { ok: false, reason: "it is larger than the cloud reads" } as const;
/** KubeEdge's cloud leaves reports unanswered that it cannot store now, and those of devices it does not know. */
const reportPatience = 8;
/** KubeEdge up to 1.15 never answers states of devices. */
const otherPatience = 3;
/** KubeEdge's cloud never answers these: there they are done when the peer has read them. */
const silentShare = "uploads";

/**
 * Sends a share of the outbox in order, each message until it is answered, always with the id it was stored with, so that the
 * cloud can tell a repetition. An entry leaves the disk only when it is answered.
 */
export class OutboxSender implements Disposable {
  readonly #options: SenderOptions;
  readonly #inFlight = new Map<string, InFlight>();
  readonly #marks = new Map<string, readonly InFlight[]>();
  #unmarked: InFlight[] = [];
  #done: number[] = [];
  #cursor = 0;
  #lastMark = 0;
  #parked = 0;
  #bytes = 0;
  #parkedBytes = 0;
  #page = page;
  #up = false;
  #answersAll = false;
  #full = false;
  #timer: Disposable | undefined;
  #flushTimer: Disposable | undefined;
  #answeredMs = 0;
  #scheduled = false;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /**
   * A new link: everything unanswered goes again, from the oldest on. A peer that promises to answer all is waited for
   * without end; of KubeEdge's cloud the silence on some messages is taken for an answer.
   */
  linkUp(answersAll: boolean): void {
    this.#forget();
    this.#answersAll = answersAll;
    this.#up = true;
    this.#timer = this.#options.clock.every(500, () => this.#repeat());
    this.wake();
  }

  linkDown(): void {
    this.#up = false;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#flush();
    this.#forget();
  }

  /** There is something new in the outbox. Calls of one turn are one look. */
  wake(): void {
    if (this.#scheduled || !this.#up) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#up) this.#fill();
    });
  }

  /** The cloud answered something: what it does not answer now it may never answer. */
  answered(): void {
    this.#answeredMs = this.#options.clock.monotonicMs();
  }

  /** @returns whether the reply was for an entry */
  settle(reply: WireMessage): boolean {
    const entry = this.#inFlight.get(reply.header.parent_msg_id ?? "");
    if (!entry) return false;
    const verdict = judgeReply(reply);
    const { log, clock } = this.#options;
    if (verdict.kind === "later") {
      log.debug("cloud cannot take a message now", { lane: entry.lane, reason: verdict.text });
      entry.patience = Infinity;
      this.#postpone(entry, clock.monotonicMs());
    } else {
      if (verdict.kind === "refused")
        log.warn("cloud refused a message for good: dropped", {
          lane: entry.lane,
          resource: reply.route.resource,
          code: verdict.code,
          reason: verdict.text,
        });
      this.#finish(entry);
    }
    this.wake();
    return true;
  }

  ponged(mark: string): void {
    const read = this.#marks.get(mark);
    if (!read) return;
    this.#marks.delete(mark);
    for (const entry of read) this.#finish(entry);
    this.wake();
  }

  [Symbol.dispose](): void {
    this.linkDown();
  }

  #forget(): void {
    this.#inFlight.clear();
    this.#marks.clear();
    this.#unmarked = [];
    this.#sentUpTo(0);
    this.#parked = 0;
    this.#bytes = 0;
    this.#parkedBytes = 0;
    this.#full = false;
  }

  #sentUpTo(id: number): void {
    this.#cursor = id;
    const { outbox, share } = this.#options;
    outbox.sentUpTo[share] = id;
  }

  #finish(entry: InFlight): void {
    if (!this.#inFlight.delete(entry.msgId)) return;
    this.#bytes -= entry.bytes;
    if (entry.parked) {
      this.#parked -= 1;
      this.#parkedBytes -= entry.bytes;
    }
    this.#forgetSoon(entry.id);
  }

  /** One commit for all that were answered within a moment. */
  #forgetSoon(id: number): void {
    this.#done.push(id);
    this.#flushTimer ??= this.#options.clock.after(flushAfterMs, () => this.#flush());
  }

  #flush(): void {
    this.#flushTimer?.[Symbol.dispose]();
    this.#flushTimer = undefined;
    if (this.#done.length === 0) return;
    try {
      this.#options.outbox.remove(this.#done);
      this.#done = [];
    } catch (error) {
      const { log, clock } = this.#options;
      log.error("answered messages cannot be taken off the disk, trying again", { error });
      if (this.#up) this.#flushTimer = clock.after(removeAgainMs, () => this.#flush());
    }
  }

  #fill(): void {
    while (this.#sendPage());
    this.#mark();
  }

  /** @returns whether there may be more to send now */
  #sendPage(): boolean {
    const { outbox, share } = this.#options;
    const window = this.#answersAll ? windowOfOurs : windowOfOthers;
    const room = window - (this.#inFlight.size - Math.min(this.#parked, mostParked));
    if (room <= 0 || !this.#fits(1)) return false;
    const entries = outbox.listShareAfter(share, this.#cursor, Math.min(room, this.#page));
    const held = entries.findIndex((entry) => !this.#first(entry));
    // Large messages that have to wait need not be read each time.
    this.#page = held < 0 ? Math.min(page, this.#page * 2) : Math.max(1, held);
    return entries.length > 0 && held < 0;
  }

  #fits(bytes: number): boolean {
    const counted = this.#bytes - Math.min(this.#parkedBytes, mostParkedBytes);
    return counted === 0 || counted + bytes <= windowBytes;
  }

  #first(row: OutboxEntry): boolean {
    const bytes = Buffer.byteLength(row.message);
    const decoded = bytes > largestMessageBytes ? tooLarge : decode(row.message);
    if (!decoded.ok) {
      const { lane } = row;
      this.#options.log.error("stored message cannot be sent: dropped", {
        lane,
        bytes,
        reason: decoded.reason,
      });
      this.#forgetSoon(row.id);
      this.#sentUpTo(row.id);
      return true;
    }
    if (!this.#fits(bytes) || !this.#send(row.message)) return false;
    this.#sentUpTo(row.id);
    const nowMs = this.#options.clock.monotonicMs();
    const { header, route } = decoded.message;
    const entry: InFlight = {
      id: row.id,
      msgId: header.msg_id,
      lane: row.lane,
      bytes,
      tries: 1,
      sentMs: nowMs,
      dueMs: nowMs + answerMs,
      patience: this.#patienceFor(route.resource ?? ""),
      parked: false,
    };
    this.#inFlight.set(entry.msgId, entry);
    this.#bytes += bytes;
    if (this.#isSilent()) this.#unmarked.push(entry);
    return true;
  }

  #isSilent(): boolean {
    return this.#options.share === silentShare && !this.#answersAll;
  }

  #patienceFor(resource: string): number {
    if (this.#answersAll) return Infinity;
    return resource.endsWith("/twin/edge_updated") ? reportPatience : otherPatience;
  }

  #send(frame: string): boolean {
    const sent = this.#options.send(frame);
    this.#full = !sent;
    return sent;
  }

  #mark(): void {
    if (this.#unmarked.length === 0) return;
    this.#lastMark += 1;
    const mark = `${this.#options.share}-${this.#lastMark}`;
    this.#marks.set(mark, this.#unmarked);
    this.#unmarked = [];
    this.#options.ping(mark);
  }

  #postpone(entry: InFlight, nowMs: number): void {
    entry.dueMs = nowMs + Math.min(longestWaitMs, answerMs * 2 ** Math.min(entry.tries - 1, 10));
    if (entry.parked || entry.tries < parkAfterTries) return;
    entry.parked = true;
    this.#parked += 1;
    this.#parkedBytes += entry.bytes;
  }

  #repeat(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const entry of this.#isSilent() ? [] : this.#inFlight.values()) {
      if (entry.dueMs > nowMs) continue;
      if (!this.#sendAgain(entry, nowMs)) break;
    }
    if (this.#full || this.#parked > 0) this.wake();
  }

  /** @returns false when the link takes no more now */
  #sendAgain(entry: InFlight, nowMs: number): boolean {
    const { outbox, log } = this.#options;
    const row = outbox.listAfter(entry.id - 1, 1)[0];
    const ignored = entry.tries >= entry.patience && this.#answeredMs > entry.sentMs;
    if (row?.id !== entry.id || ignored) {
      if (row?.id === entry.id)
        log.info("cloud took a message and never answered it: not sent again", {
          lane: entry.lane,
          tries: entry.tries,
        });
      this.#finish(entry);
      return true;
    }
    if (!this.#send(row.message)) return false;
    entry.sentMs = nowMs;
    entry.tries += 1;
    this.#postpone(entry, nowMs);
    return true;
  }
}
