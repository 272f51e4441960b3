import { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { asError, ConfigError } from "#shared/errors";
import { createPrivateFile } from "#shared/files";

const schema = `
CREATE TABLE IF NOT EXISTS revisions (
  id INTEGER PRIMARY KEY,
  resource TEXT NOT NULL,
  key TEXT NOT NULL,
  previous INTEGER,
  deleted INTEGER NOT NULL,
  value TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`;

/** Nobody else may read it, whatever the umask. */
function prepareFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  createPrivateFile(path);
}

/** Opens the revision database so that a commit survives loss of power. @throws ConfigError */
export function openDatabase(path: string): Database {
  try {
    if (path !== ":memory:") prepareFile(path);
    const database = new Database(path, { create: true, strict: true });
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = FULL");
    database.run("PRAGMA busy_timeout = 2000");
    database.run("PRAGMA wal_autocheckpoint = 2000");
    database.run("PRAGMA journal_size_limit = 67108864");
    database.run("PRAGMA cache_size = -8000");
    database.run(schema);
    return database;
  } catch (error) {
    const text = `Cannot open database "${path}": ${asError(error).message}`;
    throw new ConfigError("database-unusable", text, { cause: error });
  }
}
