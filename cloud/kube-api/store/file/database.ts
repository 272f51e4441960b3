import type { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { version } from "#shared/release";
import { AppError, ConfigError, describeError, quote } from "#shared/errors";
import { createPrivateFile } from "#shared/files";
import { migrateDatabase, newerFormat, openDatabase, sqliteCode, type DatabaseFormat } from "#shared/sqlite";

/**
 * Raised with each change that an older cloudcore would misread; 1: Secrets are encrypted, by `loadDatabase`. Databases of 0.1
 * have some of the tables. The index answers what is encrypted without reading everything else.
 */
const steps = [
  `CREATE TABLE IF NOT EXISTS revisions (
     id INTEGER PRIMARY KEY,
     resource TEXT NOT NULL,
     key TEXT NOT NULL,
     previous INTEGER,
     deleted INTEGER NOT NULL,
     value TEXT NOT NULL
   );
   CREATE INDEX IF NOT EXISTS revisions_secrets ON revisions (id) WHERE resource = '/secrets';
   CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE IF NOT EXISTS trial (content BLOB);
   CREATE TABLE IF NOT EXISTS damaged (id INTEGER PRIMARY KEY, resource TEXT, key TEXT, value BLOB);`,
];
const format: DatabaseFormat = { program: "cloudcore", release: version, steps };

/** Opens the revision database. @throws ConfigError */
export function openRevisionDatabase(path: string): Database {
  try {
    if (path !== ":memory:") prepareFile(path);
    return openDatabase(path, {
      busyTimeoutMs: 2000,
      journalLimitBytes: 64 * 1024 * 1024,
      pragmas: { wal_autocheckpoint: 2000, cache_size: -8000 },
      setUp: (database) => {
        refuseNewer(database, path);
        migrateDatabase(database, format);
      },
    });
  } catch (error) {
    throw explainDatabase(path, error);
  }
}

/** @throws ConfigError when a newer cloudcore wrote it */
function refuseNewer(database: Database, path: string): void {
  const problem = newerFormat(database, format);
  if (problem === undefined) return;
  const remedy = "install that cloudcore or a newer one, or restore a backup of this one";
  throw new ConfigError("database-newer", `Cannot open database ${quote(path)}: ${problem}; ${remedy}`);
}

/** Readable by its owner only, whatever the umask. */
function prepareFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  createPrivateFile(path);
}

const restore = "stop cloudcore and restore a backup: `cloudcore restore FILE`";
const faults: Readonly<Record<string, readonly [why: string, remedy: string]>> = {
  SQLITE_NOTADB: ["it is not an SQLite database, or its header is damaged", restore],
  SQLITE_CORRUPT: ["it is damaged", restore],
  SQLITE_FULL: ["its disk is full", "free some space there"],
  SQLITE_READONLY: ["it cannot be written", "make the file and its file system writable for cloudcore"],
  SQLITE_CANTOPEN: ["it cannot be opened", "check that its directory exists and cloudcore may write to both"],
  SQLITE_IOERR: ["its disk cannot be read or written", "free some space there, and check the disk"],
  SQLITE_BUSY: ["another process keeps it locked", "end that process"],
};

/** An error of SQLite as a ConfigError that names the file and the remedy; other errors unchanged. */
export function explainDatabase(path: string, error: unknown): Error {
  if (error instanceof AppError) return error;
  const [why, remedy] = faults[sqliteCode(error)] ?? [
    "it cannot be used",
    "check the file, its directory and its disk",
  ];
  const [detail = ""] = describeError(error).split("\n");
  const text = `Cannot open database ${quote(path)}: ${why} (${detail}); ${remedy}`;
  return new ConfigError("database-unusable", text, { cause: error });
}
