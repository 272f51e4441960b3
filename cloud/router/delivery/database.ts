import type { Database } from "bun:sqlite";
import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { asError, ConfigError, describeError } from "#shared/errors";
import { createPrivateFile, setDatabaseAside } from "#shared/files";
import type { Logger } from "#shared/log";
import { findDamage, isDamage, openDatabase } from "#shared/sqlite";

const schema = `
CREATE TABLE IF NOT EXISTS delivery (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  rule TEXT NOT NULL,
  node TEXT NOT NULL,
  origin TEXT NOT NULL,
  message_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL,
  request TEXT NOT NULL,
  body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS delivery_message ON delivery (rule, node, origin, message_id);
CREATE INDEX IF NOT EXISTS delivery_lane ON delivery (rule, node, id);
CREATE INDEX IF NOT EXISTS delivery_created ON delivery (created_at);
`;

/** Opens the queue of the router. A damaged file is set aside and a new one begun: cloudcore must start. @throws ConfigError */
export function openDeliveryDatabase(
  path: string,
  { nowMs, log }: { readonly nowMs: number; readonly log: Logger },
): Database {
  const fault = existsSync(path) ? faultOf(path) : undefined;
  if (fault === undefined) return open(path);
  const aside = setDatabaseAside(path, nowMs);
  log.error("database of the router was damaged, moved it aside and created an empty one", {
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
