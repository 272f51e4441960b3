import type { Clock } from "#shared/clock";

interface Sink {
  write(bytes: Uint8Array): number;
}

interface Tap {
  pause(): void;
  resume(): void;
}

/** One direction between two sockets, at the pace of the one that is written to. */
export class Pipe {
  readonly #sink: Sink;
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** What the sink has not taken. */
  #waiting: Buffer[] = [];
  #paused: Tap | undefined;
  #fullSinceMs: number | undefined;

  constructor(sink: Sink, clock: Pick<Clock, "monotonicMs">) {
    this.#sink = sink;
    this.#clock = clock;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  stalledMs(nowMs: number): number {
    return this.#fullSinceMs === undefined ? 0 : nowMs - this.#fullSinceMs;
  }

  /** @param from is not read until the sink has taken everything */
  write(bytes: Uint8Array, source: Tap): void {
    const written = this.isEmpty ? Math.max(0, this.#sink.write(bytes)) : 0;
    if (written === bytes.length) return;
    // The bytes belong to the runtime once this returns.
    this.#waiting.push(Buffer.from(bytes.subarray(written)));
    this.#fullSinceMs ??= this.#clock.monotonicMs();
    this.#paused = source;
    source.pause();
  }

  /** The sink takes more. */
  drain(): void {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const written = Math.max(0, this.#sink.write(next));
      if (written > 0) this.#fullSinceMs = this.#clock.monotonicMs();
      if (written < next.length) {
        this.#waiting[0] = next.subarray(written);
        return;
      }
      this.#waiting.shift();
    }
    this.#fullSinceMs = undefined;
    this.#paused?.resume();
    this.#paused = undefined;
  }
}
