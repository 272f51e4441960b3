export interface HistoryBounds {
  /** How many revisions stay followable. */
  readonly revisions: number;
  /** How many bytes those may have in all. */
  readonly bytes: number;
}

interface WrittenRevision {
  readonly revision: number;
  readonly bytes: number;
}

/** Limits of one step of a compaction, some ten milliseconds. */
const step = { revisions: 500, bytes: 16 * 1024 * 1024 } as const;
/** A compaction ends below the bound, or the next write would start another one. */
const leftOfBound = 7 / 8;

/** The revisions since the last compaction and the pins of readers: decides how much may be compacted. */
export class History {
  readonly #bounds: HistoryBounds;
  readonly #pins = new Map<symbol, number>();
  #written: WrittenRevision[] = [];
  #bytes = 0;

  constructor(bounds: HistoryBounds) {
    this.#bounds = bounds;
  }

  get isTooLarge(): boolean {
    return this.#bytes > this.#bounds.bytes;
  }

  /** A revision was committed; they come in order. */
  add(revision: number, bytes: number): void {
    this.#written.push({ revision, bytes });
    this.#bytes += bytes;
  }

  /** While held, what was current at this revision stays readable. */
  pin(revision: number): Disposable {
    const id = Symbol();
    this.#pins.set(id, revision);
    return { [Symbol.dispose]: () => void this.#pins.delete(id) };
  }

  /** Whether a reader needs older revisions. */
  get isPinned(): boolean {
    return this.#pins.size > 0;
  }

  /** The newest revision that need not be followable any more, when `newest` was the last one. */
  endOf(newest: number): number {
    const excess = this.isTooLarge ? this.#bytes - this.#bounds.bytes * leftOfBound : 0;
    return Math.min(
      Math.max(newest - this.#bounds.revisions, this.#afterBytes(excess)),
      ...this.#pins.values(),
    );
  }

  /** Where one step of a compaction to `end` may stop. */
  stepTo(end: number): number {
    let bytes = 0;
    for (const [index, one] of this.#written.entries()) {
      if (one.revision >= end) return end;
      bytes += one.bytes;
      if (index + 1 >= step.revisions || bytes >= step.bytes) return one.revision;
    }
    return end;
  }

  compacted(to: number): void {
    const kept = this.#written.findIndex(({ revision }) => revision > to);
    const gone = this.#written.splice(0, kept < 0 ? this.#written.length : kept);
    this.#bytes -= gone.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #afterBytes(excess: number): number {
    if (excess <= 0) return 0;
    let bytes = 0;
    for (const one of this.#written) {
      bytes += one.bytes;
      if (bytes >= excess) return one.revision;
    }
    return 0;
  }
}
