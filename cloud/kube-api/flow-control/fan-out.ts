import { onNextTurn } from "#shared/clock";

/**
 * Watchers notified in one turn of the event loop, at least; then requests that have arrived meanwhile are read. A quarter of
 * those that wait, if these are more: what waits must not grow however fast the changes come.
 */
const perTurn = 32;

/**
 * Notifies watchers of batches of changes, each watcher of one batch after the other: a change that thousands watch must not
 * keep everybody else waiting until it was sent to all of them.
 */
export class FanOut {
  readonly #lines = new WeakMap<object, Map<string, Uint8Array>>();
  readonly #waiting: (() => void)[] = [];
  readonly #perTurn: number;
  /** How many more may be notified in this turn. */
  #left = 0;
  #scheduled = false;

  constructor(watchersPerTurn = perTurn) {
    this.#perTurn = watchersPerTurn;
  }

  /** Runs `notify`, now or in one of the next turns, after those given before; it must not throw. */
  run(notify: () => void): void {
    if (!this.#scheduled) this.#schedule(this.#perTurn);
    if (this.#left === 0 || this.#waiting.length > 0) this.#waiting.push(notify);
    else {
      this.#left -= 1;
      notify();
    }
  }

  /**
   * The bytes of a batch of changes, made once for all watchers that see them alike.
   * @param key what the bytes depend on beside the batch
   */
  linesOf(batch: object, key: string, make: () => Uint8Array): Uint8Array {
    const made = this.#lines.get(batch) ?? new Map<string, Uint8Array>();
    this.#lines.set(batch, made);
    let bytes = made.get(key);
    if (!bytes) made.set(key, (bytes = make()));
    return bytes;
  }

  #schedule(left: number): void {
    this.#left = left;
    this.#scheduled = true;
    onNextTurn(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    const now = this.#waiting.splice(0, Math.max(this.#perTurn, Math.ceil(this.#waiting.length / 4)));
    if (this.#waiting.length > 0) this.#schedule(0);
    for (const notify of now) notify();
  }
}
