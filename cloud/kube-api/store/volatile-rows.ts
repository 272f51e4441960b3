import type { Database, Statement } from "bun:sqlite";
import { reservedName, saveSetting, settingOf } from "#cloud/kube-api/store/file";

/** A revision that is in the memory alone. */
interface VolatileRow {
  readonly resource: string;
  readonly key: string;
  readonly revision: number;
  /** The row of the table that it replaces. */
  readonly stored: number | undefined;
}

/** Numbers of revisions that are reserved at a time. */
const reserved = 10_000;
/** Rows that were replaced in the memory stay for watches that are a little behind. */
const mostReplaced = 2000;

/**
 * Revisions of what is reported again and again, such as the status of a device: they are read and watched as all others, and are
 * stored once a minute, the newest of each object. Until then they are in a table in the memory, which `all_revisions` reads together
 * with the one on disk. Their numbers are reserved on disk: a start after a crash continues above all that clients may have seen.
 */
export class VolatileRows {
  readonly #database: Database;
  readonly #insert: Statement;
  readonly #remove: Statement;
  readonly #copy: Statement;
  readonly #removeStored: Statement;
  readonly #rows = new Map<string, VolatileRow>();
  #replaced: number[] = [];
  #reservedTo: number;

  constructor(database: Database) {
    this.#database = database;
    this.#insert = database.prepare(
      "INSERT INTO live.revisions (id, resource, key, previous, deleted, value) VALUES (?, ?, ?, ?, 0, ?)",
    );
    this.#remove = database.prepare("DELETE FROM live.revisions WHERE id = ?");
    this.#copy = database.prepare(
      `INSERT INTO main.revisions (id, resource, key, previous, deleted, value)
       SELECT id, resource, key, ?, 0, value FROM live.revisions WHERE id = ?`,
    );
    this.#removeStored = database.prepare("DELETE FROM main.revisions WHERE id = ?");
    this.#reservedTo = Number(settingOf(database, reservedName) ?? 0);
  }

  get isEmpty(): boolean {
    return this.#rows.size === 0;
  }

  #reserve(revision: number): void {
    if (revision <= this.#reservedTo) return;
    saveSetting(this.#database, reservedName, String(revision + reserved));
    this.#reservedTo = revision + reserved;
  }

  /** The row on disk that is replaced when `previous` is; the same unless that is in the memory. */
  storedOf(resource: string, key: string, previous: number | undefined): number | undefined {
    const row = this.#rows.get(nameOf(resource, key));
    return row !== undefined && row.revision === previous ? row.stored : previous;
  }

  /** Call it inside a transaction. @returns what takes it back */
  put(row: Omit<VolatileRow, "stored">, previous: number, value: string): () => void {
    const { resource, key, revision } = row;
    const reservedBefore = this.#reservedTo;
    this.#reserve(revision);
    this.#insert.run(revision, resource, key, previous, value);
    const stored = this.storedOf(resource, key, previous);
    const restore = this.#replace(resource, key, { ...row, stored });
    return () => {
      restore();
      this.#reservedTo = reservedBefore;
    };
  }

  /** A row of the table on disk replaces that of the memory. @returns what takes it back */
  superseded(resource: string, key: string): () => void {
    return this.#replace(resource, key, undefined);
  }

  #replace(resource: string, key: string, next: VolatileRow | undefined): () => void {
    const name = nameOf(resource, key);
    const before = this.#rows.get(name);
    if (next) this.#rows.set(name, next);
    else this.#rows.delete(name);
    if (before) this.#replaced.push(before.revision);
    return () => {
      if (before) {
        this.#rows.set(name, before);
        this.#replaced = this.#replaced.filter((revision) => revision !== before.revision);
      } else this.#rows.delete(name);
    };
  }

  /** Forgets rows that were replaced, unless a list that is being read may need them. */
  tidy(isRead: boolean, most = mostReplaced): void {
    if (isRead || this.#replaced.length <= most) return;
    const replaced = this.#replaced;
    this.#replaced = [];
    this.#database.transaction(() => {
      for (const revision of replaced) this.#remove.run(revision);
    })();
  }

  /**
   * Stores the rows that are in the memory. @param compacted what was replaced up to this revision is not looked at again
   * @throws what SQLite throws: then they stay where they are
   */
  store(compacted: number): void {
    const rows = [...this.#rows.values()];
    this.#database.transaction(() => {
      for (const { revision, stored } of rows) {
        this.#copy.run(stored ?? null, revision);
        this.#remove.run(revision);
        if (stored !== undefined && revision <= compacted) this.#removeStored.run(stored);
      }
    })();
    this.#rows.clear();
  }

  /** All is stored and nothing more will come. */
  close(): void {
    if (settingOf(this.#database, reservedName) !== undefined)
      this.#database.run("DELETE FROM settings WHERE name = ?", [reservedName]);
  }
}

/** Makes the table in the memory, and the view of both. Call it before statements are prepared. */
export function attachMemory(database: Database): void {
  database.run("ATTACH ':memory:' AS live");
  database.run(`CREATE TABLE live.revisions (
    id INTEGER PRIMARY KEY, resource TEXT NOT NULL, key TEXT NOT NULL, previous INTEGER, deleted INTEGER NOT NULL, value TEXT NOT NULL)`);
  database.run(`CREATE TEMP VIEW all_revisions AS
    SELECT id, resource, key, previous, deleted, value FROM main.revisions
    UNION ALL SELECT id, resource, key, previous, deleted, value FROM live.revisions`);
}

function nameOf(resource: string, key: string): string {
  return `${resource} ${key}`;
}
