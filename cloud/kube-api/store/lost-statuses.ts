import type { Database } from "bun:sqlite";
import { saveSetting, settingOf } from "#cloud/kube-api/store/file";

const lostName = "lost-statuses";

/**
 * Which nodes reported again since a crash took statuses that were in the memory alone. It is kept over restarts, until all have:
 * a node may be offline during several.
 */
export class LostStatuses {
  readonly #database: Database;

  /** @param isCut whether the process before this one lost statuses: then nobody has reported again yet */
  constructor(database: Database, isCut: boolean) {
    this.#database = database;
    if (isCut) this.save([]);
  }

  /** Nodes that were asked to report again; undefined: nothing is lost, or all were. */
  get asked(): readonly string[] | undefined {
    const text = settingOf(this.#database, lostName);
    return text === undefined ? undefined : (JSON.parse(text) as string[]);
  }

  /** @throws what SQLite throws */
  save(asked: readonly string[] | undefined): void {
    if (asked) saveSetting(this.#database, lostName, JSON.stringify(asked));
    else this.#database.run("DELETE FROM settings WHERE name = ?", [lostName]);
  }
}
