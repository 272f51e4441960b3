import type { SessionQueue } from "./session-queue.ts";

/** Size classes for each doubling: a queue found is at most 16 % smaller than the largest one. */
const classesPerDoubling = 4;

/** Finds a largest queue with droppable bytes without looking at all queues: there may be thousands. */
export class QueuesBySize {
  readonly #classes: Set<SessionQueue>[] = [];
  readonly #classOf = new Map<SessionQueue, number>();

  /** Notes the new size of a queue. */
  place(queue: SessionQueue): void {
    const before = this.#classOf.get(queue);
    const now =
      queue.droppableBytes > 0 ? Math.floor(Math.log2(queue.bytes) * classesPerDoubling) : undefined;
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
