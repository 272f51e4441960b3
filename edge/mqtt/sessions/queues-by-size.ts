import type { SessionQueue } from "./session-queue.ts";

/** Classes for each doubling of the size: what is found is at most a fifth smaller than the largest. */
const classesPerDoubling = 4;

/** Finds a largest queue that has bytes to give up, without a walk over all: there may be thousands. */
export class QueuesBySize {
  readonly #classes: Set<SessionQueue>[] = [];
  readonly #classOf = new Map<SessionQueue, number>();

  /** The queue has changed. */
  place(queue: SessionQueue): void {
    const before = this.#classOf.get(queue);
    const now = queue.looseBytes > 0 ? Math.floor(Math.log2(queue.bytes) * classesPerDoubling) : undefined;
    if (before === now) return;
    if (before !== undefined) this.#classes[before]?.delete(queue);
    if (now === undefined) this.#classOf.delete(queue);
    else this.#put(queue, now);
  }

  largest(): SessionQueue | undefined {
    return this.#classes
      .findLast((queues) => queues.size > 0)
      ?.values()
      .next().value;
  }

  #put(queue: SessionQueue, sizeClass: number): void {
    while (this.#classes.length <= sizeClass) this.#classes.push(new Set());
    this.#classes[sizeClass]?.add(queue);
    this.#classOf.set(queue, sizeClass);
  }
}
