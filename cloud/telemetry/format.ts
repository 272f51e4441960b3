import { version } from "#shared/release";
import type { DatabaseFormat } from "#shared/sqlite";

/**
 * Databases before 0.3.0 have these tables. AUTOINCREMENT: the id of a dropped upload is never given again, or a reader would miss
 * what got it.
 */
const steps = [
  `CREATE TABLE IF NOT EXISTS upload (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     node TEXT NOT NULL,
     msg_id TEXT NOT NULL,
     topic TEXT NOT NULL,
     sent_at INTEGER NOT NULL,
     received_at INTEGER NOT NULL,
     bytes INTEGER NOT NULL,
     content TEXT NOT NULL
   );
   CREATE UNIQUE INDEX IF NOT EXISTS upload_message ON upload (node, msg_id);
   CREATE INDEX IF NOT EXISTS upload_node ON upload (node);
   CREATE INDEX IF NOT EXISTS upload_topic ON upload (topic);
   CREATE TABLE IF NOT EXISTS trial (content BLOB);`,
];

export const uploadFormat: DatabaseFormat = { program: "cloudcore", release: version, steps };
