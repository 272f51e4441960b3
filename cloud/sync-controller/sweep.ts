import type { Clock } from "#shared/clock";

/** A comparison costs no traffic unless something is missing; nodes are spread over the time. */
const aboutMs = 60_000;

/** Has each connected node compared about once a minute, each at its own time. */
export class Sweep implements Disposable {
  readonly #clock: Clock;
  readonly #call: (node: string) => Promise<void>;
  readonly #timers = new Map<string, Disposable>();

  constructor(clock: Clock, call: (node: string) => Promise<void>) {
    this.#clock = clock;
    this.#call = call;
  }

  add(node: string): void {
    this.remove(node);
    this.#plan(node);
  }

  remove(node: string): void {
    this.#timers.get(node)?.[Symbol.dispose]();
    this.#timers.delete(node);
  }

  [Symbol.dispose](): void {
    for (const node of this.#timers.keys()) this.remove(node);
  }

  #plan(node: string): void {
    const ms = aboutMs * (0.75 + this.#clock.random() / 2);
    const timer = this.#clock.after(ms, () => {
      void this.#call(node);
      this.#plan(node);
    });
    this.#timers.set(node, timer);
  }
}
