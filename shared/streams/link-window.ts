/** The peer reports what it received each time it is so much: often enough for the smallest window. */
export const reportEveryBytes = 16 * 1024;
/** A second on a link of 512 kbit/s: messages wait so long at most. */
const leastBytes = 64 * 1024;
/** Keeps a link of 160 Mbit/s with a round trip of 200 ms busy. */
const mostBytes = 4 * 1024 * 1024;
const firstBytes = 128 * 1024;
/** A link gets another way, and with it another shortest time: that of the last two periods counts. */
const periodMs = 300_000;
/** What the data of streams may add to the way of a message: more shrinks the window, less lets it grow. */
const delayMs = { most: 400, least: 200 } as const;

/**
 * How much data of all streams may be on its way to the peer at a time. The sockets and routers in between take megabytes
 * without a word, and on a slow link a message behind them, such as the keepalive, would be late by minutes. So the time that
 * data takes is measured, as in LEDBAT (RFC 6817): beyond the shortest seen it is queued somewhere.
 */
export class LinkWindow {
  readonly #nowMs: () => number;
  #bytes = firstBytes;
  #sent = 0;
  #received = 0;
  /** When the peer has received so much, the time it took is known. */
  #probe: { readonly end: number; readonly sentMs: number } | undefined;
  /** Of this period and of the one before. */
  #shortestMs: readonly [number, number] = [Infinity, Infinity];
  #periodStartMs: number;
  /** Whether it held data back since the last measurement. */
  #wasFull = false;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#periodStartMs = nowMs();
  }

  /** Asked before each piece: whether there is room is also what lets the window grow. */
  canSend(): boolean {
    const hasRoom = this.#sent - this.#received < this.#bytes;
    if (!hasRoom) this.#wasFull = true;
    return hasRoom;
  }

  sent(bytes: number): void {
    this.#sent += bytes;
    // What the peer has received when it has all of this, and has reported.
    const end = this.#sent - reportEveryBytes;
    if (!this.#probe && end > this.#received) this.#probe = { end, sentMs: this.#nowMs() };
  }

  /** The peer reports. @returns false when it was never sent so much */
  received(bytes: number): boolean {
    this.#received += bytes;
    const probe = this.#probe;
    if (probe && this.#received >= probe.end) {
      this.#probe = undefined;
      this.#adapt(this.#nowMs() - probe.sentMs);
    }
    return this.#received <= this.#sent;
  }

  #adapt(tookMs: number): void {
    const queuedMs = tookMs - this.#shortest(tookMs);
    if (queuedMs > delayMs.most) this.#bytes = Math.max(leastBytes, this.#bytes / 2);
    else if (this.#wasFull && queuedMs < delayMs.least) this.#bytes = Math.min(mostBytes, this.#bytes * 2);
    this.#wasFull = false;
  }

  #shortest(tookMs: number): number {
    const nowMs = this.#nowMs();
    let [present, before] = this.#shortestMs;
    if (nowMs - this.#periodStartMs >= periodMs) {
      this.#periodStartMs = nowMs;
      [present, before] = [Infinity, present];
    }
    this.#shortestMs = [Math.min(present, tookMs), before];
    return Math.min(...this.#shortestMs);
  }
}
