import type { Database } from "bun:sqlite";

export interface OutgoingRow {
  readonly id: number;
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: number;
}

/** Messages for the external MQTT broker that it has not acknowledged. */
export class MqttOutgoing {
  readonly #put;
  readonly #next;
  readonly #sizes;
  readonly #remove;
  readonly #size;

  constructor(db: Database) {
    this.#put = db.query<never, [number, string, Uint8Array, number]>(
      "INSERT INTO mqtt_outgoing (id, topic, payload, retain) VALUES (?, ?, ?, ?)",
    );
    this.#next = db.query<OutgoingRow, [number, number]>(
      "SELECT id, topic, payload, retain FROM mqtt_outgoing WHERE id > ? ORDER BY id LIMIT ?",
    );
    const bytes = "octet_length(topic) + octet_length(payload)";
    this.#sizes = db.query<{ id: number; bytes: number }, [number, number]>(
      `SELECT id, ${bytes} AS bytes FROM mqtt_outgoing WHERE id > ? ORDER BY id LIMIT ?`,
    );
    this.#remove = db.query<never, [number]>("DELETE FROM mqtt_outgoing WHERE id = ?");
    this.#size = db.query<{ entries: number; last: number; bytes: number }, []>(
      `SELECT COUNT(*) AS entries, COALESCE(MAX(id), 0) AS last, COALESCE(SUM(${bytes}), 0) AS bytes FROM mqtt_outgoing`,
    );
  }

  put({ id, topic, payload, retain }: OutgoingRow): void {
    this.#put.run(id, topic, payload, retain);
  }

  /** Up to `limit` rows with an id greater than `afterId`, oldest first. */
  listAfter(afterId: number, limit: number): OutgoingRow[] {
    return this.#next.all(afterId, limit);
  }

  /** How much the rows of `listAfter` take, without reading them. */
  sizesAfter(afterId: number, limit: number): { readonly id: number; readonly bytes: number }[] {
    return this.#sizes.all(afterId, limit);
  }

  /** @returns whether there was such a row */
  remove(id: number): boolean {
    return this.#remove.run(id).changes > 0;
  }

  size(): { readonly entries: number; readonly last: number; readonly bytes: number } {
    return this.#size.get() ?? { entries: 0, last: 0, bytes: 0 };
  }
}
