import { judgeReply, readStoredFrame, type CloudMessage } from "#edge/edge-hub/codec";
import type { Outbox, OutboxEntry, OutboxShare } from "#edge/store";
import { onNextTurn, type Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import { AnsweredRows } from "./answered-rows.ts";
import { SendWindow, type SentMessage } from "./send-window.ts";

export interface SenderOptions {
  readonly outbox: Outbox;
  readonly share: OutboxShare;
  readonly clock: Clock;
  readonly log: Logger;
  /** @returns false when the link is down or full */
  readonly send: (frame: string) => boolean;
  /** Asks the peer to show that it has read everything so far; `ponged` is called with the mark. */
  readonly ping: (mark: string) => void;
}

/** Messages that may be unanswered at a time. Our cloud answers a report when its status is written, which it delays. */
const windowOfOurs = 2048;
/** What is unanswered when the link is cut is sent again, and KubeEdge's cloud does not recognize repetitions. */
const windowOfOthers = 64;
/** Messages read from the disk at a time. */
const pageSize = 64;
/** Without an answer for so long a message is repeated, then after pauses that double up to the longest. */
const answerMs = 10_000;
const longestWaitMs = 300_000;
/** One repetition may be a lost answer; after two the message no longer holds up the others. */
const parkAfterTries = 2;
/** How often is looked for what is due. */
const repeatEveryMs = 500;
/** KubeEdge's cloud leaves reports unanswered that it cannot store now, and those of devices it does not know. */
const reportPatience = 8;
/** KubeEdge up to 1.15 never answers states of devices. */
const otherPatience = 3;
/** KubeEdge's cloud never answers these: there they are done when the peer has read them. */
const unansweredShare: OutboxShare = "uploads";

/**
 * Sends a share of the outbox in order, each message until it is answered, always with the id it was stored with, so that the
 * cloud can recognize a repetition. An entry leaves the disk only when it is answered.
 */
export class OutboxSender implements Disposable {
  readonly #options: SenderOptions;
  readonly #window = new SendWindow();
  readonly #answered: AnsweredRows;
  /** By mark: messages that are done when the pong with that mark comes. */
  readonly #marks = new Map<string, readonly SentMessage[]>();
  #unmarked: SentMessage[] = [];
  #cursor = 0;
  #lastMark = 0;
  #pageSize = pageSize;
  #isUp = false;
  #answersAll = false;
  #isLinkFull = false;
  #repeating: Disposable | undefined;
  #lastAnswerMs = 0;
  #isScheduled = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#answered = new AnsweredRows(options);
  }

  /**
   * A new link: everything unanswered goes again, from the oldest on. Answers of a peer that promises to answer all are
   * waited for without end; of KubeEdge's cloud the silence on some messages is taken for an answer.
   */
  linkUp(answersAll: boolean): void {
    this.#forgetSent();
    this.#answersAll = answersAll;
    this.#isUp = true;
    this.#repeating = this.#options.clock.every(repeatEveryMs, () => this.#repeat());
    this.wake();
  }

  linkDown(): void {
    this.#isUp = false;
    this.#repeating?.[Symbol.dispose]();
    this.#repeating = undefined;
    this.#answered.flush(false);
    this.#forgetSent();
  }

  /** There is something new in the outbox. Calls of one turn of the event loop share a look at the disk. */
  wake(): void {
    if (this.#isScheduled || !this.#isUp) return;
    this.#isScheduled = true;
    onNextTurn(() => {
      this.#isScheduled = false;
      if (this.#isUp) this.#fill();
    });
  }

  /** The cloud answered something: what it does not answer now it may never answer. */
  answered(): void {
    this.#lastAnswerMs = this.#options.clock.monotonicMs();
  }

  /** @returns whether the reply was for an entry */
  settle(reply: CloudMessage): boolean {
    const message = this.#window.find(reply.parentId ?? "");
    if (!message) return false;
    const { log, clock } = this.#options;
    const { lane } = message;
    const verdict = judgeReply(reply);
    if (verdict.kind === "later") {
      log.debug("cloud cannot accept a message now", { lane, reason: verdict.text });
      message.patience = Infinity;
      this.#postpone(message, clock.monotonicMs());
    } else {
      if (verdict.kind === "refused")
        log.warn("cloud refused a message permanently, dropping it", {
          lane,
          resource: reply.subject,
          code: verdict.code,
          reason: verdict.text,
        });
      this.#finish(message);
    }
    this.wake();
    return true;
  }

  ponged(mark: string): void {
    const read = this.#marks.get(mark);
    if (!read) return;
    this.#marks.delete(mark);
    for (const message of read) this.#finish(message);
    this.wake();
  }

  [Symbol.dispose](): void {
    this.linkDown();
  }

  #forgetSent(): void {
    this.#window.clear();
    this.#marks.clear();
    this.#unmarked = [];
    this.#sentUpTo(0);
    this.#isLinkFull = false;
  }

  #sentUpTo(id: number): void {
    this.#cursor = id;
    const { outbox, share } = this.#options;
    outbox.sentUpTo[share] = id;
  }

  #finish(message: SentMessage): void {
    if (this.#window.remove(message)) this.#answered.add(message.id);
  }

  #fill(): void {
    while (this.#sendPage());
    this.#mark();
  }

  /** @returns whether there may be more to send now */
  #sendPage(): boolean {
    const { outbox, share } = this.#options;
    const room = this.#window.roomFor(this.#answersAll ? windowOfOurs : windowOfOthers);
    if (room <= 0 || !this.#window.fits(1)) return false;
    const entries = outbox.listShareAfter(share, this.#cursor, Math.min(room, this.#pageSize));
    const held = entries.findIndex((entry) => !this.#sendFirst(entry));
    // Large messages that have to wait need not be read each time.
    this.#pageSize = held < 0 ? Math.min(pageSize, this.#pageSize * 2) : Math.max(1, held);
    return entries.length > 0 && held < 0;
  }

  /** @returns false when it has to wait, and all after it */
  #sendFirst({ id, lane, message: frame }: OutboxEntry): boolean {
    const { log, clock } = this.#options;
    const stored = readStoredFrame(frame);
    const { bytes } = stored;
    if (!stored.ok) {
      log.error("stored message cannot be sent, dropping it", { lane, bytes, reason: stored.reason });
      this.#answered.add(id);
      this.#sentUpTo(id);
      return true;
    }
    if (!this.#window.fits(bytes) || !this.#send(frame)) return false;
    this.#sentUpTo(id);
    const nowMs = clock.monotonicMs();
    const message: SentMessage = {
      id,
      msgId: stored.id,
      lane,
      bytes,
      tries: 1,
      sentMs: nowMs,
      dueMs: nowMs + answerMs,
      patience: this.#patienceFor(stored.isTwinReport),
      isParked: false,
    };
    this.#window.add(message);
    if (this.#isUnanswered) this.#unmarked.push(message);
    return true;
  }

  get #isUnanswered(): boolean {
    return this.#options.share === unansweredShare && !this.#answersAll;
  }

  #patienceFor(isTwinReport: boolean): number {
    if (this.#answersAll) return Infinity;
    return isTwinReport ? reportPatience : otherPatience;
  }

  #send(frame: string): boolean {
    const sent = this.#options.send(frame);
    this.#isLinkFull = !sent;
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

  #postpone(message: SentMessage, nowMs: number): void {
    message.dueMs = nowMs + Math.min(longestWaitMs, answerMs * 2 ** Math.min(message.tries - 1, 10));
    if (message.tries >= parkAfterTries) this.#window.park(message);
  }

  #repeat(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const message of this.#isUnanswered ? [] : this.#window.all()) {
      if (message.dueMs > nowMs) continue;
      if (!this.#sendAgain(message, nowMs)) break;
    }
    if (this.#isLinkFull || this.#window.hasParked) this.wake();
  }

  /** @returns false when the link takes no more now */
  #sendAgain(message: SentMessage, nowMs: number): boolean {
    const { outbox, log } = this.#options;
    const row = outbox.listAfter(message.id - 1, 1)[0];
    const isThere = row?.id === message.id;
    const isIgnored = message.tries >= message.patience && this.#lastAnswerMs > message.sentMs;
    if (!isThere || isIgnored) {
      const { lane, tries } = message;
      if (isThere) log.info("cloud accepted a message and never answered it, dropping it", { lane, tries });
      this.#finish(message);
      return true;
    }
    if (!this.#send(row.message)) return false;
    message.sentMs = nowMs;
    message.tries += 1;
    this.#postpone(message, nowMs);
    return true;
  }
}
