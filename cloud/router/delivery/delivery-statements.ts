import type { Database } from "bun:sqlite";

export interface DeliveryRow {
  readonly id: number;
  readonly rule: string;
  readonly node: string;
  readonly origin: string;
  readonly messageId: string;
  readonly createdMs: number;
  readonly attempts: number;
  readonly request: string;
  readonly body: Uint8Array;
}

interface GoneRow {
  readonly rule: string;
  readonly bytes: number;
}

type InsertValues = [string, string, string, string, number, number, string, Uint8Array];

/** The prepared statements on the table of messages. */
export type DeliveryStatements = ReturnType<typeof prepareDeliveries>;

/** Rows that one commit drops: a commit takes some milliseconds. */
const dropStep = 100;

export function prepareDeliveries(database: Database) {
  return {
    insert: database.query<never, InsertValues>(
      // Not by ON CONFLICT: that spends an id.
      `INSERT INTO delivery (rule, node, origin, message_id, created_at, bytes, request, body)
       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS
       (SELECT 1 FROM delivery WHERE rule = ?1 AND node = ?2 AND origin = ?3 AND message_id = ?4)`,
    ),
    next: database.query<DeliveryRow, [string, string, number]>(
      `SELECT id, rule, node, origin, message_id AS messageId, created_at AS createdMs, attempts, request, body
       FROM delivery WHERE rule = ? AND node = ? AND id > ? ORDER BY id LIMIT 1`,
    ),
    remove: database.query<GoneRow, [number]>("DELETE FROM delivery WHERE id = ? RETURNING rule, bytes"),
    failed: database.query<never, [number]>("UPDATE delivery SET attempts = attempts + 1 WHERE id = ?"),
    dropRule: database.query<GoneRow, [string]>("DELETE FROM delivery WHERE rule = ? RETURNING rule, bytes"),
    dropOldest: database.query<GoneRow, [string]>(
      `DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE rule = ? ORDER BY id LIMIT ${dropStep})
       RETURNING rule, bytes`,
    ),
    expire: database.query<GoneRow, [number]>(
      `DELETE FROM delivery WHERE id IN
       (SELECT id FROM delivery WHERE created_at < ? ORDER BY created_at LIMIT ${dropStep * 10})
       RETURNING rule, bytes`,
    ),
    lanes: database.query<{ readonly rule: string; readonly node: string }, []>(
      "SELECT DISTINCT rule, node FROM delivery",
    ),
    usage: database.query<{ rule: string; bytes: number; count: number }, []>(
      "SELECT rule, SUM(bytes) AS bytes, COUNT(*) AS count FROM delivery GROUP BY rule",
    ),
  };
}
