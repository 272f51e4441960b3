import { onNextTurn, type Clock } from "#shared/clock";
import { RateLimitedLog, type Logger } from "#shared/log";
import { PacedStream, type Pool, type ByteSource, type StreamOptions } from "./paced-stream.ts";
import { Tally } from "./tally.ts";

export interface StreamPoolOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Bytes of large buffers over all connections; 64 MiB by default. One user has half of it at most. */
  readonly limitBytes?: number;
  /** The connection of a reader that takes nothing for so long is closed; a minute by default. */
  readonly stallMs?: number;
}

export interface StreamReader {
  readonly user: string;
  /** The server's own client has no limit. */
  readonly exempt: boolean;
  /** Ends the connection of the answer. */
  readonly cut: () => void;
}

/** While others wait for memory, a stalled reader gets less time. */
const pressedStallMs = 5_000;
const pressedLookMs = 1_000;

/**
 * All answers in flight that are not small, with backpressure: the bytes that their readers have not taken are bounded. Past
 * the limit further buffers wait, and connections of the readers that have stalled longest are closed until there is room.
 */
export class StreamPool implements Pool, Disposable {
  readonly #clock: Clock;
  readonly #seldom: RateLimitedLog;
  readonly #limitBytes: number;
  readonly #stallMs: number;
  readonly #streams = new Map<PacedStream, StreamReader>();
  readonly #waiting = new Set<PacedStream>();
  readonly #all = new Tally();
  readonly #ofUsers = new Map<string, Tally>();
  readonly #sweeper: Disposable;
  #relief: Disposable | undefined;

  constructor({ clock, log, limitBytes = 64 * 1024 * 1024, stallMs = 60_000 }: StreamPoolOptions) {
    this.#clock = clock;
    this.#seldom = new RateLimitedLog(log, clock);
    this.#limitBytes = limitBytes;
    this.#stallMs = stallMs;
    this.#sweeper = clock.every(Math.max(50, Math.min(5_000, stallMs / 4)), () => this.#sweep());
  }

  get heldBytes(): number {
    return this.#all.bytes;
  }

  open(source: ByteSource, options: StreamOptions, reader: StreamReader): PacedStream {
    const stream = new PacedStream(this, source, { options, cut: reader.cut });
    this.#streams.set(stream, reader);
    this.count(stream, stream.heldBytes);
    return stream;
  }

  /** Whether further answers for this user have to be refused; starts to make room. */
  isFullFor(user: string): boolean {
    if (this.#hasRoom(user)) return false;
    this.#press();
    return true;
  }

  nowMs(): number {
    return this.#clock.monotonicMs();
  }

  admits(stream: PacedStream): boolean {
    const reader = this.#streams.get(stream);
    // Its own bytes do not count: streams that wait would wait for each other.
    if (!reader || reader.exempt || this.#hasRoom(reader.user, stream.heldBytes)) return true;
    this.#waiting.add(stream);
    this.#press();
    return false;
  }

  hold(stream: PacedStream, buffer: Uint8Array): void {
    for (const tally of this.#talliesOf(stream)) tally.hold(buffer);
  }

  release(stream: PacedStream, buffer: Uint8Array): void {
    for (const tally of this.#talliesOf(stream)) tally.release(buffer);
    this.#wakeSoon();
  }

  count(stream: PacedStream, bytes: number): void {
    if (bytes === 0) return;
    for (const tally of this.#talliesOf(stream)) tally.add(bytes);
    if (bytes < 0) this.#wakeSoon();
  }

  left(stream: PacedStream): void {
    const user = this.#streams.get(stream)?.user ?? "";
    this.#streams.delete(stream);
    this.#waiting.delete(stream);
    if (this.#ofUsers.get(user)?.bytes === 0) this.#ofUsers.delete(user);
  }

  [Symbol.dispose](): void {
    this.#sweeper[Symbol.dispose]();
    this.#relief?.[Symbol.dispose]();
    this.#waiting.clear();
  }

  #hasRoom(user: string, exceptBytes = 0): boolean {
    const ofUser = this.#ofUsers.get(user)?.bytes ?? 0;
    return this.#all.bytes - exceptBytes < this.#limitBytes && ofUser - exceptBytes < this.#limitBytes / 2;
  }

  #talliesOf(stream: PacedStream): readonly Tally[] {
    const reader = this.#streams.get(stream);
    if (!reader) return [this.#all];
    const ofUser = this.#ofUsers.get(reader.user) ?? new Tally();
    this.#ofUsers.set(reader.user, ofUser);
    return [this.#all, ofUser];
  }

  /** Not within the fill that released the buffer: it may need the room itself. */
  #wakeSoon(): void {
    if (this.#waiting.size > 0) onNextTurn(() => this.#wake());
  }

  #wake(): void {
    for (const stream of Array.from(this.#waiting)) {
      const reader = this.#streams.get(stream);
      if (reader && !this.#hasRoom(reader.user, stream.heldBytes)) continue;
      this.#waiting.delete(stream);
      stream.fill();
    }
  }

  #press(): void {
    this.#relief ??= this.#clock.after(pressedLookMs, () => this.#relieve());
  }

  #relieve(): void {
    this.#relief = undefined;
    const nowMs = this.nowMs();
    const stalled = [...this.#streams]
      .filter(([stream, { exempt }]) => !exempt && stream.stalledMs(nowMs) >= pressedStallMs)
      .sort(([a], [b]) => b.stalledMs(nowMs) - a.stalledMs(nowMs));
    for (const [stream, { user }] of stalled)
      if (stream.heldBytes > 0 && !this.#hasSlack(user))
        this.#cut(stream, "others wait for the memory it holds");
    this.#wake();
    if (this.#waiting.size > 0) this.#press();
  }

  /** Half of the limit is free: streams that wait have room for a while. */
  #hasSlack(user: string): boolean {
    const ofUser = this.#ofUsers.get(user)?.bytes ?? 0;
    return this.#all.bytes <= this.#limitBytes / 2 && ofUser <= this.#limitBytes / 4;
  }

  #sweep(): void {
    const nowMs = this.nowMs();
    for (const [stream, { exempt }] of Array.from(this.#streams)) {
      // It has no connection that could be closed, and sets time limits itself.
      if (exempt) continue;
      const { mostMs = Infinity } = stream.options;
      if (stream.stalledMs(nowMs) >= this.#stallMs) this.#cut(stream, "its client reads nothing");
      else if (nowMs - stream.startedMs >= mostMs) this.#cut(stream, "its client reads too slowly");
    }
  }

  #cut(stream: PacedStream, reason: string): void {
    const { what } = stream.options;
    const user = this.#streams.get(stream)?.user;
    const stalledSeconds = Math.round(stream.stalledMs(this.nowMs()) / 1000);
    const fields = { what, user, reason, stalledSeconds, heldBytes: stream.heldBytes };
    this.#seldom.warn("closed the connection of a slow reader", fields, `${user} ${what}`);
    stream.cut();
  }
}
