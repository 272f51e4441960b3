import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { AppError, ConfigError, describeError, quote } from "#shared/errors";
import { createPrivateFile } from "#shared/files";
import { recordOf } from "#shared/json";
import { version } from "#shared/release";
import {
  findDamage,
  migrateDatabase,
  newerFormat,
  openDatabase,
  sqliteCode,
  type DatabaseFormat,
} from "#shared/sqlite";
import { migrations } from "./schema.ts";

const format: DatabaseFormat = { program: "edgecore", release: version, steps: migrations };

/** Opens the database of edgecore, migrated to the schema of this release. */
export function openEdgeDatabase(path: string): Database {
  makePrivate(path);
  return openDatabase(path, {
    busyTimeoutMs: 5000,
    // With a limit the log that stays is empty: it must not be applied to a database that is copied in its place.
    journalLimitBytes: 16 * 1024 * 1024,
    keepJournal: true,
    pragmas: { foreign_keys: "ON" },
    setUp: (database) => migrate(database, path),
  });
}

function makePrivate(path: string): void {
  try {
    createPrivateFile(path);
  } catch {
    // SQLite meets the same obstacle, and its error is explained.
  }
}

function migrate(db: Database, path: string): void {
  const problem = newerFormat(db, format);
  if (problem !== undefined) throw refusal("database-newer", path, newer(problem));
  migrateDatabase(db, format);
}

/** What is wrong with a database, and what to do. */
export interface DatabaseFault {
  readonly problem: string;
  readonly remedy: string;
}

/**
 * Reads a database through as it is, also beside the edgecore that has it open (`inUse`).
 * @returns undefined when it can be used, or is not there yet
 */
export function findEdgeDatabaseFault(path: string, inUse: boolean): DatabaseFault | undefined {
  if (!existsSync(path)) return undefined;
  try {
    // A read-only connection leaves a log behind when it is the only one.
    using db = new Database(path, inUse ? { readonly: true } : { readwrite: true });
    const problem = newerFormat(db, format);
    if (problem !== undefined) return newer(problem);
    const damage = findDamage(db);
    return damage === undefined ? undefined : faultOf("SQLITE_CORRUPT", damage);
  } catch (error) {
    return faultOf(sqliteCode(error), error);
  }
}

function newer(problem: string): DatabaseFault {
  return { problem, remedy: "install that edgecore, or a newer one" };
}

const otherFile = "name the file of edgecore's database in database.path, or move that one away";
const recreated =
  "restart edgecore: it moves a damaged database aside and creates a new one from the readable rows, and the cloud sends the rest again";
const faults: Readonly<Record<string, readonly [problem: string, remedy: string]>> = {
  SQLITE_NOTADB: ["it is not an SQLite database", otherFile],
  SQLITE_CORRUPT: ["it is damaged", recreated],
  SQLITE_FULL: ["its disk is full", "free some space there"],
  SQLITE_READONLY: ["it cannot be written", "make the file and its file system writable for edgecore"],
  SQLITE_CANTOPEN: [
    "it cannot be opened",
    "check that its folder exists and that edgecore may write to both",
  ],
  SQLITE_IOERR: ["its disk cannot be read or written", "free some space there, and check the disk"],
  SQLITE_BUSY: ["another process keeps it locked", "end that process"],
};

function faultOf(code: string, error: unknown): DatabaseFault {
  const [problem, remedy] = faults[code] ?? ["it cannot be used", "check the file, its folder and its disk"];
  const [detail = ""] = describeError(error).split("\n");
  return { problem: `${problem} (${detail})`, remedy };
}

/** read() failed with EIO, or gave fewer bytes than the page has. */
const unreadable: ReadonlySet<string> = new Set([
  "SQLITE_IOERR_CORRUPTFS",
  "SQLITE_IOERR_READ",
  "SQLITE_IOERR_SHORT_READ",
]);

/** Whether the disk does not give back what was written: a block of an SD card that is worn out. */
export function isUnreadable(error: unknown): boolean {
  const { code } = recordOf(error);
  return typeof code === "string" && unreadable.has(code);
}

export function isFull(error: unknown): boolean {
  return sqliteCode(error) === "SQLITE_FULL";
}

/** An error of SQLite as a ConfigError with its remedy; other errors as they are. */
export function explainEdgeDatabase(path: string, error: unknown): unknown {
  const code = sqliteCode(error);
  if (error instanceof AppError || code === "") return error;
  return refusal("database-open", path, faultOf(code, error), error);
}

function refusal(
  code: string,
  path: string,
  { problem, remedy }: DatabaseFault,
  cause?: unknown,
): ConfigError {
  return new ConfigError(code, `Cannot open database ${quote(path)}: ${problem}; ${remedy}`, { cause });
}
