import { nextTurn, type Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { readStoredReport } from "#edge/edge-hub/codec";
import type { Loss, Store } from "#edge/store";

export interface OutboxBudgetParts {
  readonly store: Store;
  readonly clock: Pick<Clock, "nowMs">;
  readonly log: Logger;
}

/** The size is checked whenever this share of the limit was added: counting costs a query. */
const checkedShare = 1 / 16;
/** Folding stops below the limit, so that the next report does not start it again. */
const keptShare = 0.9;
const none: Loss = { folded: 0, droppedReports: 0, droppedUploads: 0 };

/**
 * Keeps the outbox within its limit. Asking for the size costs a query, so it is checked when a sixteenth of the limit
 * was added: the outbox exceeds it by that much at most. Folding goes down to nine tenths, so that it does not run with
 * each message, and in steps between which the node does its other work.
 */
export class OutboxBudget implements AsyncDisposable {
  readonly #limitBytes: number;
  readonly #parts: OutboxBudgetParts;
  readonly #onLoss: (loss: Loss) => void;
  /** Bytes added since the last check; at the start as many as trigger one. */
  #addedBytes: number;
  #pass: Promise<void> | undefined;
  #isClosed = false;

  constructor(limitBytes: number, parts: OutboxBudgetParts, onLoss: (loss: Loss) => void) {
    this.#limitBytes = limitBytes;
    this.#parts = parts;
    this.#onLoss = onLoss;
    this.#addedBytes = limitBytes;
    parts.store.backlog.limitBytes = limitBytes;
  }

  /** So many bytes were put into the outbox. */
  queued(bytes: number): void {
    this.#addedBytes += bytes;
    if (this.#addedBytes < this.#limitBytes * checkedShare || this.#pass || this.#isClosed) return;
    this.#addedBytes = 0;
    this.#pass = this.#makeRoom().finally(() => {
      this.#pass = undefined;
      // Bytes added during the pass were not counted by it.
      this.queued(0);
    });
  }

  /** Settles when the outbox is not being folded. */
  async roomMade(): Promise<void> {
    await this.#pass;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#pass;
  }

  async #makeRoom(): Promise<void> {
    const { store, clock, log } = this.#parts;
    let lost = none;
    try {
      const { bytes } = store.outbox.size();
      if (bytes <= this.#limitBytes) return;
      const parts = { nowMs: () => clock.nowMs(), readReport: readStoredReport };
      for (const step of store.backlog.fold(bytes - this.#limitBytes * keptShare, parts)) {
        lost = sum(lost, step);
        await nextTurn();
        if (this.#isClosed) break;
      }
    } catch (error) {
      log.error("cannot fold the outbox", { error: describeError(error) });
    }
    if (lost.folded + lost.droppedReports + lost.droppedUploads === 0) return;
    log.warn("outbox exceeded its limit: reports folded or messages dropped", {
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
