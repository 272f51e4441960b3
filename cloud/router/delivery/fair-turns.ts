import { Counts } from "./counts.ts";

/**
 * Whose turn it is. Groups take turns, and one may use as many places as it leaves free for the others: however much of it
 * does not get on, a group that comes later finds half of the rest. Not more is under way than there are places.
 */
export class FairTurns<Item extends { readonly rule: string }> {
  readonly #places: number;
  /** by rule, in the order of their turns */
  readonly #waiting = new Map<string, Item[]>();
  readonly #underWay = new Counts();

  constructor(places: number) {
    this.#places = places;
  }

  add(item: Item): void {
    const waiting = this.#waiting.get(item.rule);
    if (waiting) waiting.push(item);
    else this.#waiting.set(item.rule, [item]);
  }

  /** What is next, in a place that has to be disposed. @returns undefined when nothing may start now */
  next(): { readonly item: Item; readonly place: Disposable } | undefined {
    const free = this.#places - this.#underWay.together;
    for (const [rule, waiting] of this.#waiting) {
      if (this.#underWay.of(rule) >= free) continue;
      const item = waiting.shift();
      // To the end of the turns.
      this.#waiting.delete(rule);
      if (waiting.length > 0) this.#waiting.set(rule, waiting);
      if (item) return { item, place: this.#underWay.enter(rule) };
    }
    return undefined;
  }
}
