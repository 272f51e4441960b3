import type { Database } from "bun:sqlite";
import type { Share } from "./shares.ts";
import type { OldUpload } from "./trim-plan.ts";

/** The prepared statements on the table of uploads. */
export type UploadStatements = ReturnType<typeof prepareUploads>;

export function prepareUploads(database: Database) {
  return {
    insert: database.query<never, [string, string, string, number, number, number, string]>(
      // Not by ON CONFLICT: that spends an id.
      `INSERT INTO upload (node, msg_id, topic, sent_at, received_at, bytes, content)
       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
       WHERE NOT EXISTS (SELECT 1 FROM upload WHERE node = ?1 AND msg_id = ?2)`,
    ),
    oldest: database.query<OldUpload, [number]>(
      "SELECT id, received_at AS receivedAt, bytes FROM upload ORDER BY id LIMIT ?",
    ),
    /** of those received up to a time */
    oldestDated: database.query<OldUpload, [number, number]>(
      `SELECT id, received_at AS receivedAt, bytes FROM upload
       WHERE received_at <= ? ORDER BY id LIMIT ?`,
    ),
    oldestOf: database.query<OldUpload, [string, number]>(
      "SELECT id, received_at AS receivedAt, bytes FROM upload WHERE node = ? ORDER BY id LIMIT ?",
    ),
    drop: database.query<Share, [number]>("DELETE FROM upload WHERE id <= ? RETURNING node, bytes"),
    dropOf: database.query<Share, [string, number]>(
      "DELETE FROM upload WHERE node = ? AND id <= ? RETURNING node, bytes",
    ),
    /** the id given last */
    last: database.query<{ last: number }, []>(
      "SELECT seq AS last FROM sqlite_sequence WHERE name = 'upload'",
    ),
    shares: database.query<Share & { count: number }, []>(
      "SELECT node, SUM(bytes) AS bytes, COUNT(*) AS count FROM upload GROUP BY node",
    ),
    newest: database.query<{ atMs: number }, []>(
      "SELECT received_at AS atMs FROM upload ORDER BY id DESC LIMIT 1",
    ),
    /** bytes of the file that are in use */
    used: database.query<{ bytes: number }, []>(
      `SELECT (page_count - freelist_count) * page_size AS bytes
       FROM pragma_page_count, pragma_freelist_count, pragma_page_size`,
    ),
  };
}
