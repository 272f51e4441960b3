import type { Outbox } from "#edge/store";
import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";

/** Answers that arrive together share a commit. */
const flushAfterMs = 25;
/** A full disk takes no deletion either. */
const retryMs = 5000;

export interface AnsweredRowsOptions {
  readonly outbox: Pick<Outbox, "remove">;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Rows of the outbox that are answered: removed from the disk with one commit for all of a moment. */
export class AnsweredRows {
  readonly #options: AnsweredRowsOptions;
  #ids: number[] = [];
  #timer: Disposable | undefined;

  constructor(options: AnsweredRowsOptions) {
    this.#options = options;
  }

  add(id: number): void {
    this.#ids.push(id);
    this.#timer ??= this.#options.clock.after(flushAfterMs, () => this.flush(true));
  }

  /** Removes the rows now; what fails is tried again with the next flush, or after five seconds if `mayRetry`. */
  flush(mayRetry: boolean): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    if (this.#ids.length === 0) return;
    const { outbox, clock, log } = this.#options;
    try {
      outbox.remove(this.#ids);
      this.#ids = [];
    } catch (error) {
      log.error("answered messages cannot be removed from the disk, retrying", { error });
      if (mayRetry) this.#timer = clock.after(retryMs, () => this.flush(true));
    }
  }
}
