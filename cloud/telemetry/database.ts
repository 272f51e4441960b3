import type { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { asError, ConfigError } from "#shared/errors";
import { createPrivateFile } from "#shared/files";
import { openDatabase } from "#shared/sqlite";

/** AUTOINCREMENT: the id of a dropped upload is never given again, or a reader would miss what got it. */
const schema = `
CREATE TABLE IF NOT EXISTS upload (
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
CREATE TABLE IF NOT EXISTS trial (content BLOB);
`;

/** Opens the database of uploads. @throws ConfigError */
export function openUploadDatabase(path: string): Database {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    createPrivateFile(path);
    return openDatabase(path, {
      busyTimeoutMs: 2000,
      journalLimitBytes: 16 * 1024 * 1024,
      setUp: (database) => database.run(schema),
    });
  } catch (error) {
    const text = `Cannot open database "${path}": ${asError(error).message}`;
    throw new ConfigError("database-unusable", text, { cause: error });
  }
}
