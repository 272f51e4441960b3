import type { Database } from "bun:sqlite";
import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { asError, ConfigError, describeError } from "#shared/errors";
import { createPrivateFile, setDatabaseAside } from "#shared/files";
import type { Logger } from "#shared/log";
import { findDamage, isDamage, openDatabase } from "#shared/sqlite";

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

/** Opens the database of uploads. A damaged file is set aside and a new one begun: cloudcore must start. @throws ConfigError */
export function openUploadDatabase(
  path: string,
  { nowMs, log }: { readonly nowMs: number; readonly log: Logger },
): Database {
  const fault = existsSync(path) ? faultOf(path) : undefined;
  if (fault === undefined) return open(path);
  const aside = setDatabaseAside(path, nowMs);
  log.error("database of uploads was damaged, moved it aside and created an empty one", {
    database: path,
    fault,
    aside,
  });
  return open(path);
}

function faultOf(path: string): string | undefined {
  try {
    using database = open(path);
    return findDamage(database);
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    if (isDamage(cause)) return describeError(cause);
    throw error;
  }
}

function open(path: string): Database {
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
