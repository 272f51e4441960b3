import { nextTurn, type Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { Loss, Store } from "#edge/store";

export interface OutboxBudgetParts {
  readonly store: Store;
  readonly clock: Pick<Clock, "nowMs">;
  readonly log: Logger;
}

const none: Loss = { folded: 0, droppedReports: 0, droppedUploads: 0 };

/**
 * Keeps the outbox within its limit: each time a sixteenth of it was put in, looks at the size and makes room down to
 * nine tenths, in steps between which the node does its other work.
 */
export class OutboxBudget implements AsyncDisposable {
  readonly #limitBytes: number;
  readonly #parts: OutboxBudgetParts;
  readonly #onLoss: (loss: Loss) => void;
  #since: number;
  #pass: Promise<void> | undefined;
  #closed = false;

  constructor(limitBytes: number, parts: OutboxBudgetParts, onLoss: (loss: Loss) => void) {
    this.#limitBytes = limitBytes;
    this.#parts = parts;
    this.#onLoss = onLoss;
    this.#since = limitBytes;
    parts.store.backlog.limitBytes = limitBytes;
  }

  queued(bytes: number): void {
    this.#since += bytes;
    if (this.#since < this.#limitBytes / 16 || this.#pass || this.#closed) return;
    this.#since = 0;
    this.#pass = this.#makeRoom().finally(() => {
      this.#pass = undefined;
      // What came meanwhile was not looked at.
      this.queued(0);
    });
  }

  /** Settles when no room is being made. */
  async roomMade(): Promise<void> {
    await this.#pass;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#pass;
  }

  async #makeRoom(): Promise<void> {
    const { store, clock, log } = this.#parts;
    let lost = none;
    try {
      const { bytes } = store.outbox.size();
      if (bytes <= this.#limitBytes) return;
      for (const step of store.backlog.fold(bytes - this.#limitBytes * 0.9, () => clock.nowMs())) {
        lost = sum(lost, step);
        await nextTurn();
        if (this.#closed) break;
      }
    } catch (error) {
      log.error("cannot make room for messages that wait for the cloud", { error: describeError(error) });
    }
    if (lost.folded + lost.droppedReports + lost.droppedUploads === 0) return;
    log.warn("gave up messages that wait for the cloud: the disk budget is spent", {
      ...lost,
      limitBytes: this.#limitBytes,
    });
    this.#onLoss(lost);
  }
}

function sum(a: Loss, b: Loss): Loss {
  return {
    folded: a.folded + b.folded,
    droppedReports: a.droppedReports + b.droppedReports,
    droppedUploads: a.droppedUploads + b.droppedUploads,
  };
}
