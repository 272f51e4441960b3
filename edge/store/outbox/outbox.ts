import type { Database } from "bun:sqlite";

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

/**
 * Messages for the cloud that must survive a cut link and a crash. Entries leave in order of id.
 * An entry with a key replaces an older one of the same lane and key (latest wins) and takes a new id,
 * so that an acknowledgement of the older one cannot remove it.
 */
export class Outbox {
  /** Rows of a share up to this id may be on their way to the cloud now; kept by the sender. */
  readonly sentUpTo: Record<OutboxShare, number> = { uploads: 0, others: 0 };
  readonly #db: Database;
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
    this.#insert = db.query<{ id: number }, [string, string | null, string, number]>(
      "INSERT INTO outbox (lane, key, message, bytes) VALUES (?, ?, ?, ?) RETURNING id",
    );
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
      return this.#insert.get(lane, key ?? null, message, Buffer.byteLength(message))?.id ?? 0;
    });
    return add();
  }

  /** Up to `limit` entries with an id greater than `afterId`, oldest first. */
  listAfter(afterId: number, limit: number): OutboxEntry[] {
    return this.#next.all(afterId, limit);
  }

  /** The same of one share. */
  listShareAfter(share: OutboxShare, afterId: number, limit: number): OutboxEntry[] {
    if (share === "uploads") return this.#nextOfLane.all(uploadLane, afterId, limit);
    const lanes = this.#lanes.all().filter(({ lane }) => lane !== uploadLane);
    const rows = lanes.flatMap(({ lane }) => this.#nextOfLane.all(lane, afterId, limit));
    return lanes.length < 2 ? rows : rows.sort((a, b) => a.id - b.id).slice(0, limit);
  }

  remove(ids: readonly number[]): void {
    this.#db.transaction(() => {
      for (const id of ids) this.#remove.run(id);
    })();
  }

  size(): { readonly entries: number; readonly bytes: number } {
    return this.#size.get() ?? { entries: 0, bytes: 0 };
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
