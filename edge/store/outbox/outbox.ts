import type { Database } from "bun:sqlite";
import { OrderedIds } from "./ordered-ids.ts";

export interface OutboxEntry {
  readonly id: number;
  readonly lane: string;
  readonly key: string | null;
  /** JSON of the wire message */
  readonly message: string;
}

/** What is sent under a window of its own: a cloud that takes no uploads still gets reports of pods and devices. */
export type OutboxShare = "uploads" | "others";

export const uploadLane = "upload";
/** Reports of values: the one row of a device has the newest of each property that the cloud has not answered yet. */
export const reportLane = "report";

/** The report of a device that waits, or was sent and is not answered. */
interface WaitingReport {
  readonly id: number;
  readonly twins: ReadonlyMap<string, unknown>;
  /** Called when it is sent or stored. */
  readonly encode: (twins: ReadonlyMap<string, unknown>) => string;
  /** What was sent: a repetition has to be the same. */
  frame: string | undefined;
}

/** Of a report that is in the memory alone, for the size of the outbox; the true size costs its encoding. */
const usualReportBytes = 400;

/**
 * Messages for the cloud that must survive a cut link and a crash. Entries leave in order of id.
 * An entry with a key replaces an older one of the same lane and key (latest wins) and takes a new id,
 * so that an acknowledgement of the older one cannot remove it.
 */
export class Outbox {
  /** Rows of a share up to this id may be on their way to the cloud now; kept by the sender. */
  readonly sentUpTo: Record<OutboxShare, number> = { uploads: 0, others: 0 };
  readonly #db: Database;
  readonly #reports = new Map<string, WaitingReport>();
  /** The same that are not stored, by id. */
  readonly #inMemory = new OrderedIds();
  /** The row that a device has on the disk, which may be of a report before; and the other way round. */
  readonly #rows = new Map<string, number>();
  readonly #keys = new Map<number, string>();
  #lastId: number;
  readonly #insert;
  readonly #removeKey;
  readonly #next;
  readonly #nextOfLane;
  readonly #lanes;
  readonly #remove;
  readonly #size;
  readonly #oldest;
  readonly #laneSize;
  readonly #trim;

  constructor(db: Database) {
    this.#db = db;
    this.#insert = db.query<never, [number, string, string | null, string, number]>(
      "INSERT OR REPLACE INTO outbox (id, lane, key, message, bytes) VALUES (?, ?, ?, ?, ?)",
    );
    // What each of them has is not known any more: they are sent as they are, before newer ones.
    db.run("UPDATE outbox SET lane = 'twin', key = NULL WHERE lane = ?", [reportLane]);
    this.#lastId =
      db.query<{ seq: number }, []>("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").get()?.seq ?? 0;
    this.#removeKey = db.query<never, [string, string]>("DELETE FROM outbox WHERE lane = ? AND key = ?");
    this.#next = db.query<OutboxEntry, [number, number]>(
      "SELECT id, lane, key, message FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
    );
    this.#nextOfLane = db.query<OutboxEntry, [string, number, number]>(
      "SELECT id, lane, key, message FROM outbox INDEXED BY outbox_lane WHERE lane = ? AND id > ? ORDER BY id LIMIT ?",
    );
    // One step in the index for each lane, however much waits in it.
    this.#lanes = db.query<{ lane: string }, []>(
      `WITH RECURSIVE found (lane) AS (
         SELECT MIN(lane) FROM outbox
         UNION ALL
         SELECT (SELECT MIN(lane) FROM outbox WHERE lane > found.lane) FROM found WHERE found.lane IS NOT NULL
       ) SELECT lane FROM found WHERE lane IS NOT NULL`,
    );
    this.#remove = db.query<never, [number]>("DELETE FROM outbox WHERE id = ?");
    this.#size = db.query<{ entries: number; bytes: number }, []>(
      "SELECT COUNT(*) AS entries, COALESCE(SUM(bytes), 0) AS bytes FROM outbox",
    );
    this.#oldest = db.query<{ atMs: number | null }, []>(
      "SELECT json_extract(message, '$.header.timestamp') AS atMs FROM outbox ORDER BY id LIMIT 1",
    );
    this.#laneSize = db.query<{ entries: number }, [string]>(
      "SELECT COUNT(*) AS entries FROM outbox WHERE lane = ?",
    );
    this.#trim = db.query<never, [string, number]>(
      "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE lane = ? ORDER BY id LIMIT ?)",
    );
  }

  /** Adds an entry; call it inside the transaction that stores what it reports. @returns its id */
  put(lane: string, key: string | undefined, message: string): number {
    const add = this.#db.transaction(() => {
      if (key !== undefined) this.#removeKey.run(lane, key);
      const id = this.#nextId();
      this.#insert.run(id, lane, key ?? null, message, Buffer.byteLength(message));
      return id;
    });
    return add();
  }

  /**
   * Adds what a device reports to its report that waits, in the place of that one unless it was sent already. It is in the memory
   * until `storeReport`.
   * @param twins by property
   * @param encode makes the message of all that wait
   * @returns what takes it back
   */
  report(
    key: string,
    twins: Iterable<readonly [string, unknown]>,
    encode: WaitingReport["encode"],
  ): () => void {
    const before = this.#reports.get(key);
    const isSent = before !== undefined && before.id <= this.sentUpTo.others;
    const id = before && !isSent ? before.id : this.#nextId();
    const next = { id, twins: new Map([...(before?.twins ?? []), ...twins]), encode, frame: undefined };
    this.#reports.set(key, next);
    // It has all that the one before has, whose row stays until this one is stored or answered: a crash must not lose both.
    const wasInMemory = before !== undefined && this.#inMemory.delete(before.id);
    this.#inMemory.set(id, key);
    return () => {
      if (this.#reports.get(key) !== next) return;
      this.#inMemory.delete(id);
      if (before) this.#reports.set(key, before);
      else this.#reports.delete(key);
      if (before && wasInMemory) this.#inMemory.set(before.id, key);
    };
  }

  /** Stores the report of a device; call it inside a transaction, and `reportsStored` after it. */
  storeReport(key: string): void {
    const report = this.#reports.get(key);
    if (!report || !this.#inMemory.has(report.id)) return;
    const frame = this.#frameOf(report);
    this.#removeKey.run(reportLane, key);
    this.#insert.run(report.id, reportLane, key, frame, Buffer.byteLength(frame));
  }

  /** Stores all reports that are in the memory alone. @returns their keys, for `reportsStored` */
  storeReports(): string[] {
    const keys = this.#inMemory.keys();
    for (const key of keys) this.storeReport(key);
    return keys;
  }

  /** The transaction of `storeReport` is committed. */
  reportsStored(keys: Iterable<string>): void {
    for (const key of keys) {
      const report = this.#reports.get(key);
      if (!report || !this.#inMemory.delete(report.id)) continue;
      this.#forgetRow(this.#rows.get(key));
      this.#rows.set(key, report.id);
      this.#keys.set(report.id, key);
      // From now on it is read from the disk.
      report.frame = undefined;
    }
  }

  #forgetRow(id: number | undefined): void {
    const key = this.#keys.get(id ?? 0);
    if (id === undefined || key === undefined) return;
    this.#keys.delete(id);
    this.#rows.delete(key);
  }

  /** @returns the row to be removed from the disk */
  #forgetAnswered(id: number): number | undefined {
    const key = this.#inMemory.get(id) ?? this.#keys.get(id);
    if (key === undefined) return id;
    const row = this.#rows.get(key);
    if (this.#reports.get(key)?.id === id) this.#reports.delete(key);
    this.#inMemory.delete(id);
    this.#forgetRow(row);
    return row;
  }

  #frameOf(report: WaitingReport): string {
    return (report.frame ??= report.encode(report.twins));
  }

  #nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  /** Reports in the memory after an id, oldest first. */
  #reportsAfter(afterId: number, limit: number): OutboxEntry[] {
    return this.#inMemory.after(afterId, limit).flatMap((id) => {
      const key = this.#inMemory.get(id) ?? "";
      const report = this.#reports.get(key);
      return report ? [{ id, lane: reportLane, key, message: this.#frameOf(report) }] : [];
    });
  }

  /** Up to `limit` entries with an id greater than `afterId`, oldest first. */
  listAfter(afterId: number, limit: number): OutboxEntry[] {
    return this.#merge(this.#next.all(afterId, limit), afterId, limit);
  }

  /** The same of one share. */
  listShareAfter(share: OutboxShare, afterId: number, limit: number): OutboxEntry[] {
    if (share === "uploads") return this.#nextOfLane.all(uploadLane, afterId, limit);
    const lanes = this.#lanes.all().filter(({ lane }) => lane !== uploadLane);
    const rows = lanes.flatMap(({ lane }) => this.#nextOfLane.all(lane, afterId, limit));
    const sorted = lanes.length < 2 ? rows : rows.sort((a, b) => a.id - b.id).slice(0, limit);
    return this.#merge(sorted, afterId, limit);
  }

  /** A report in the memory is newer than its row. */
  #merge(rows: OutboxEntry[], afterId: number, limit: number): OutboxEntry[] {
    if (this.#inMemory.size === 0) return rows;
    const stored = rows.filter(({ id }) => !this.#inMemory.has(id));
    return [...stored, ...this.#reportsAfter(afterId, limit)].sort((a, b) => a.id - b.id).slice(0, limit);
  }

  /** Answered messages leave the memory at once, and the disk, if they are there, in one commit. */
  remove(ids: readonly number[]): void {
    const stored = ids.map((id) => this.#forgetAnswered(id)).filter((id) => id !== undefined);
    if (stored.length === 0) return;
    this.#db.transaction(() => {
      for (const id of stored) this.#remove.run(id);
    })();
  }

  /** Removes a row for want of room; call it inside a transaction. */
  drop(id: number): void {
    const row = this.#forgetAnswered(id);
    if (row !== undefined) this.#remove.run(row);
  }

  size(): { readonly entries: number; readonly bytes: number } {
    const { entries, bytes } = this.#size.get() ?? { entries: 0, bytes: 0 };
    return { entries: entries + this.#inMemory.size, bytes: bytes + this.#inMemory.size * usualReportBytes };
  }

  /** When the oldest message was made, by the wall clock of then; undefined when none waits. */
  oldestMs(): number | undefined {
    return this.#oldest.get()?.atMs ?? undefined;
  }

  /** Drops the oldest entries of a lane beyond `max`. @returns how many were dropped */
  trim(lane: string, max: number): number {
    const over = (this.#laneSize.get(lane)?.entries ?? 0) - max;
    return over > 0 ? this.#trim.run(lane, over).changes : 0;
  }
}
