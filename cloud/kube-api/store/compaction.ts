import type { Database } from "bun:sqlite";
import { saveSetting } from "#cloud/kube-api/store/file";
import { nextTurn } from "#shared/clock";
import { note } from "#shared/lifecycle";
import type { History } from "./history.ts";

export interface CompactionParts {
  readonly database: Database;
  readonly history: History;
  /** Where the last compaction ended. */
  readonly compacted: number;
  /** The newest committed revision. */
  readonly newest: () => number;
  /** Resolves when no transaction of a write is open. */
  readonly settled: () => Promise<void>;
  readonly isClosed: () => boolean;
}

/** Deletes revisions that left the history, in steps between which other work gets its turn. */
export class Compaction {
  readonly #parts: CompactionParts;
  #compacted: number;
  #running: Promise<void> | undefined;

  constructor(parts: CompactionParts) {
    this.#parts = parts;
    this.#compacted = parts.compacted;
  }

  /** Changes up to this revision can no longer be followed. */
  get compactedRevision(): number {
    return this.#compacted;
  }

  /** Joins a run under way. */
  async run(): Promise<void> {
    this.#running ??= this.#runToEnd().finally(() => (this.#running = undefined));
    await this.#running;
  }

  /** Resolves when no run is under way. */
  async finished(): Promise<void> {
    await this.#running;
  }

  async #runToEnd(): Promise<void> {
    const { history, newest, settled, isClosed } = this.#parts;
    const end = history.endOf(newest());
    while (this.#compacted < end && !isClosed()) {
      await settled();
      // A reader may have pinned an older revision meanwhile.
      const next = Math.min(history.stepTo(end), history.endOf(newest()));
      if (next <= this.#compacted || isClosed()) return;
      this.#compactTo(next);
      // Not a delay: requests that wait get their turn of the event loop.
      await nextTurn();
    }
  }

  /** A revision is needed until the one that replaced it leaves the history; a deletion until it does itself. */
  #compactTo(end: number): void {
    note("a compaction of the database of the API");
    const start = this.#compacted;
    const { database, history } = this.#parts;
    database.transaction(() => {
      database.run(
        `DELETE FROM main.revisions WHERE id IN
         (SELECT previous FROM main.revisions WHERE id > ? AND id <= ? AND previous IS NOT NULL)`,
        [start, end],
      );
      database.run("DELETE FROM main.revisions WHERE id > ? AND id <= ? AND deleted = 1", [start, end]);
      saveSetting(database, "compacted", String(end));
    })();
    this.#compacted = end;
    history.compacted(end);
  }
}
