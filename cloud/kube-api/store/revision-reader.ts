import type { Database, Statement } from "bun:sqlite";
import { byText, type RowPlace, type Sealing } from "#cloud/kube-api/store/file";
import { toChange, type RevisionChange, type RevisionRow, type StoredKey } from "./revision-change.ts";

/** Rows read by one statement, at most. */
const mostRows = 32;
/** What a revision replaced: a row on disk names what it replaced on disk, `links` what is still in the memory. */
const replacedRow =
  "coalesce((SELECT links.previous FROM live.links WHERE links.id = all_revisions.id), previous) AS previous";

/** Reads revisions from the table, decrypted. */
export class RevisionReader {
  readonly #database: Database;
  readonly #sealing: Sealing;
  readonly #row: Statement<RowPlace & { value: string }, [number]>;
  readonly #rows: Statement<RowPlace & { value: string }, number[]>;
  readonly #after: Statement<RevisionRow, [number, string, number]>;

  constructor(database: Database, sealing: Sealing) {
    this.#database = database;
    this.#sealing = sealing;
    this.#row = database.prepare("SELECT id, resource, key, value FROM all_revisions WHERE id = ?");
    const places = Array.from({ length: mostRows }, () => "?").join();
    this.#rows = database.prepare(
      `SELECT id, resource, key, value FROM all_revisions WHERE id IN (${places})`,
    );
    this.#after = database.prepare(
      `SELECT id, resource, key, ${replacedRow}, deleted, value FROM all_revisions
       WHERE id > ? AND resource = ? ORDER BY id LIMIT ?`,
    );
  }

  /** JSON of one revision; undefined once compacted. */
  text(revision: number): string | undefined {
    const row = this.#row.get(revision);
    return row ? this.#sealing.open(row, row.value) : undefined;
  }

  /**
   * JSON of the first revisions of a list, `mostRows` at most, in the time that three take one by one.
   * @returns as many as were read; undefined for those that are compacted
   */
  texts(revisions: Float64Array): (string | undefined)[] {
    const wanted = revisions.subarray(0, mostRows);
    const [only] = wanted;
    if (only !== undefined && wanted.length === 1) return [this.text(only)];
    const found = new Map<number, string>();
    const ids = [...wanted, ...Array.from({ length: mostRows - wanted.length }, () => -1)];
    for (const row of this.#rows.all(...ids)) found.set(row.id, this.#sealing.open(row, row.value));
    return Array.from(wanted, (revision) => found.get(revision));
  }

  /** Ids after a revision with the bytes each takes, oldest first. */
  sizesAfter(revision: number): [id: number, bytes: number][] {
    const sizes = this.#database.query<{ id: number; bytes: number }, [number]>(
      "SELECT id, octet_length(value) AS bytes FROM revisions WHERE id > ? ORDER BY id",
    );
    return sizes.all(revision).map(({ id, bytes }) => [id, bytes]);
  }

  /** Takes what happened after `revision` back from a list of current objects: the list as it was then, by key. */
  rewind(
    current: readonly StoredKey[],
    revision: number,
    scope: { readonly resource: string; readonly prefix: string; readonly after: string },
  ): StoredKey[] {
    const { resource, prefix, after } = scope;
    const then = new Map(current.map((stored) => [stored.key, stored.revision]));
    const rows = this.#database
      .query<{ key: string; previous: number | null }, [number, string]>(
        `SELECT key, ${replacedRow} FROM all_revisions WHERE id > ? AND resource = ? ORDER BY id DESC`,
      )
      .all(revision, resource);
    for (const row of rows) {
      if (!row.key.startsWith(prefix) || row.key <= after) continue;
      if (row.previous === null) then.delete(row.key);
      else then.set(row.key, row.previous);
    }
    const keys = [...then].map(([key, id]) => ({ key, revision: id }));
    return keys.sort((a, b) => byText(a.key, b.key));
  }

  /** Changes of a resource after a revision and up to `newest`, oldest first, within both limits of `most`. */
  changes(
    resource: string,
    range: { readonly after: number; readonly newest: number },
    most: { readonly rows: number; readonly size: number },
  ): RevisionChange[] {
    const changes: RevisionChange[] = [];
    let size = 0;
    for (const row of this.#after.iterate(range.after, resource, most.rows)) {
      // What is not committed yet comes last.
      if (row.id > range.newest) break;
      const text = this.#sealing.open(row, row.value);
      changes.push(toChange(row, text));
      size += text.length;
      if (size >= most.size) break;
    }
    return changes;
  }
}
