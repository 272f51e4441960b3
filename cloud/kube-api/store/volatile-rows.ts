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

interface ReplacedRow {
  readonly resource: string;
  readonly revision: number;
  /** The revision that replaced it: from there on it is not needed. */
  readonly by: number;
}

/** Numbers of revisions that are reserved at a time. */
const reserved = 10_000;
/** Rows that were replaced in the memory stay for lists that are read page by page and for watches that are a little behind. */
const mostReplaced = 2000;
/** So many more are forgotten in one transaction. */
const spareReplaced = 500;
const forgottenName = "forgotten";

/**
 * Revisions of what is reported again and again, such as the status of a device: they are read and watched as all others, and are
 * stored every two minutes, the newest of each object. Until then they are in a table in the memory, which `all_revisions` reads
 * together with the one on disk. Their numbers are reserved on disk: a start after a crash continues above all that clients may have
 * seen. The last ones that were replaced stay in the memory, so that lists can be read as they were; `forgottenTo` tells from where on.
 */
export class VolatileRows {
  readonly #database: Database;
  readonly #insert: Statement;
  readonly #remove: Statement;
  readonly #copy: Statement;
  readonly #removeStored: Statement;
  readonly #link: Statement;
  readonly #keepPrevious: Statement;
  readonly #unlink: Statement;
  readonly #rows = new Map<string, VolatileRow>();
  /** in the order in which they were replaced */
  #replaced: ReplacedRow[] = [];
  /** by resource */
  readonly #forgotten: Map<string, number>;
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
    this.#link = database.prepare(
      "INSERT INTO live.links (id, previous) SELECT ?, id FROM live.revisions WHERE id = ?",
    );
    this.#keepPrevious = database.prepare(
      `INSERT INTO live.links (id, previous) SELECT id, previous FROM live.revisions
       WHERE id = ? AND previous IN (SELECT id FROM live.revisions)`,
    );
    this.#unlink = database.prepare("DELETE FROM live.links WHERE previous = ?");
    this.#reservedTo = Number(settingOf(database, reservedName) ?? 0);
    this.#forgotten = readForgotten(settingOf(database, forgottenName));
  }

  get isEmpty(): boolean {
    return this.#rows.size === 0;
  }

  /** The oldest revision as of which this resource is known: of what was current before, something was replaced and not stored. */
  forgottenTo(resource: string): number {
    return this.#forgotten.get(resource) ?? 0;
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
    const restore = this.#replace(row, { ...row, stored });
    return () => {
      restore();
      this.#reservedTo = reservedBefore;
    };
  }

  /** A row of the table on disk replaces that of the memory. @returns what takes it back */
  superseded(row: Omit<VolatileRow, "stored">): () => void {
    const before = this.#rows.get(nameOf(row.resource, row.key));
    if (before) this.#link.run(row.revision, before.revision);
    return this.#replace(row, undefined);
  }

  #replace(
    { resource, key, revision }: Omit<VolatileRow, "stored">,
    next: VolatileRow | undefined,
  ): () => void {
    const name = nameOf(resource, key);
    const before = this.#rows.get(name);
    if (next) this.#rows.set(name, next);
    else this.#rows.delete(name);
    if (before) this.#replaced.push({ resource, revision: before.revision, by: revision });
    return () => {
      if (before) {
        this.#rows.set(name, before);
        this.#replaced = this.#replaced.filter((one) => one.revision !== before.revision);
      } else this.#rows.delete(name);
    };
  }

  /** Forgets the first rows that were replaced, unless a list that is being read may need them. Not inside a transaction. */
  tidy(isRead: boolean): void {
    if (isRead || this.#replaced.length <= mostReplaced + spareReplaced) return;
    const gone = this.#replaced.slice(0, -mostReplaced);
    this.#database.transaction(() => {
      for (const { revision } of gone) {
        this.#remove.run(revision);
        this.#unlink.run(revision);
      }
    })();
    this.#replaced = this.#replaced.slice(gone.length);
    this.#forget(gone);
  }

  #forget(gone: readonly ReplacedRow[]): void {
    for (const { resource, by } of gone)
      this.#forgotten.set(resource, Math.max(by, this.forgottenTo(resource)));
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
        this.#keepPrevious.run(revision);
        this.#remove.run(revision);
        if (stored !== undefined && revision <= compacted) this.#removeStored.run(stored);
      }
    })();
    this.#rows.clear();
  }

  /** All is stored and nothing more will come. */
  close(): void {
    this.#forget(this.#replaced);
    if (this.#forgotten.size > 0)
      saveSetting(this.#database, forgottenName, JSON.stringify([...this.#forgotten]));
    if (settingOf(this.#database, reservedName) !== undefined)
      this.#database.run("DELETE FROM settings WHERE name = ?", [reservedName]);
  }
}

/** Makes the table in the memory, and the view of both. Call it before statements are prepared. */
export function attachMemory(database: Database): void {
  database.run("ATTACH ':memory:' AS live");
  database.run(`CREATE TABLE live.revisions (
    id INTEGER PRIMARY KEY, resource TEXT NOT NULL, key TEXT NOT NULL, previous INTEGER, deleted INTEGER NOT NULL, value TEXT NOT NULL)`);
  // What a row on disk replaced in the memory; the row itself has what it replaced on disk.
  database.run("CREATE TABLE live.links (id INTEGER PRIMARY KEY, previous INTEGER NOT NULL)");
  database.run("CREATE INDEX live.links_previous ON links (previous)");
  database.run(`CREATE TEMP VIEW all_revisions AS
    SELECT id, resource, key, previous, deleted, value FROM main.revisions
    UNION ALL SELECT id, resource, key, previous, deleted, value FROM live.revisions`);
}

function nameOf(resource: string, key: string): string {
  return `${resource} ${key}`;
}

function readForgotten(text: string | undefined): Map<string, number> {
  return new Map(text === undefined ? [] : (JSON.parse(text) as [resource: string, revision: number][]));
}
