import { constants, Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { AppError, ConfigError, describeError, quote } from "#shared/errors";
import { createPrivateFile } from "#shared/files";
import { migrations } from "./schema.ts";

/** The one door to SQLite at the edge. WAL, every commit on disk before it returns (synchronous=FULL). */
export function openDatabase(path: string): Database {
  makePrivate(path);
  const db = new Database(path, { create: true, strict: true });
  try {
    db.exec("PRAGMA journal_mode=WAL");
    // The log and its index stay when edgecore stops: made again on a disk that is full meanwhile, they would keep it down.
    db.fileControl(constants.SQLITE_FCNTL_PERSIST_WAL, 1);
    // With a limit the log that stays is empty: it must not be applied to a database that is copied in its place.
    db.exec("PRAGMA journal_size_limit=16777216");
    db.exec("PRAGMA synchronous=FULL");
    db.exec("PRAGMA foreign_keys=ON");
    db.exec("PRAGMA busy_timeout=5000");
    migrate(db, path);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function makePrivate(path: string): void {
  try {
    createPrivateFile(path);
  } catch {
    // SQLite finds out as well, and what it says is explained.
  }
}

function migrate(db: Database, path: string): void {
  const version = versionOf(db);
  if (version > migrations.length) throw refusal("database-newer", path, newer(version));
  for (const [index, statements] of migrations.entries()) {
    if (index < version) continue;
    db.transaction(() => {
      db.exec(statements);
      db.exec(`PRAGMA user_version=${index + 1}`);
    })();
  }
}

function versionOf(db: Database): number {
  return db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
}

/** What is wrong with a database, and what to do. */
export interface DatabaseFault {
  readonly why: string;
  readonly mend: string;
}

/**
 * Reads a database through as it is, also beside the edgecore that has it open (`inUse`).
 * @returns undefined when it can be used, or is not there yet
 */
export function findDatabaseFault(path: string, inUse: boolean): DatabaseFault | undefined {
  if (!existsSync(path)) return undefined;
  try {
    // Who may only read leaves a log behind when nobody else has the database open.
    using db = new Database(path, inUse ? { readonly: true } : { readwrite: true });
    const version = versionOf(db);
    if (version > migrations.length) return newer(version);
    const found = db.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check;
    return found === "ok" ? undefined : faultOf("SQLITE_CORRUPT", found);
  } catch (error) {
    return faultOf(codeOf(error), error);
  }
}

function newer(version: number): DatabaseFault {
  return {
    why: `it was written by a newer edgecore (schema ${version}, this one knows ${migrations.length})`,
    mend: "install that edgecore",
  };
}

const notOne = "name the file of edgecore's database in database.path, or move that one away";
const recreated =
  "restart edgecore: it moves a damaged database aside and creates a new one from the readable rows, and the cloud sends the rest again";
const faults: Readonly<Record<string, readonly [why: string, mend: string]>> = {
  SQLITE_NOTADB: ["it is no SQLite database", notOne],
  SQLITE_CORRUPT: ["it is damaged", recreated],
  SQLITE_FULL: ["its disk is full", "free some space there"],
  SQLITE_READONLY: ["it cannot be written", "make the file and its file system writable for edgecore"],
  SQLITE_CANTOPEN: ["it cannot be opened", "see that its folder is there and edgecore may write to both"],
  SQLITE_IOERR: ["its disk cannot be read or written", "free some space there, and check the disk"],
  SQLITE_BUSY: ["another process keeps it locked", "end that process"],
};

function faultOf(code: string, error: unknown): DatabaseFault {
  const [why, mend] = faults[code] ?? ["it cannot be used", "see to the file, its folder and its disk"];
  const [said = ""] = describeError(error).split("\n");
  return { why: `${why} (${said})`, mend };
}

/** As `SQLITE_IOERR`, also of `SQLITE_IOERR_WRITE`; empty when it is no error of SQLite. */
function codeOf(error: unknown): string {
  const { code } = error as { readonly code?: unknown };
  return /^SQLITE_[A-Z]+/.exec(typeof code === "string" ? code : "")?.[0] ?? "";
}

/** Whether an error means that the file itself is damaged. */
export function isDamage(error: unknown): boolean {
  return ["SQLITE_NOTADB", "SQLITE_CORRUPT"].includes(codeOf(error));
}

/** What read() answered with EIO, and with too little. */
const unreadable: ReadonlySet<string> = new Set([
  "SQLITE_IOERR_CORRUPTFS",
  "SQLITE_IOERR_READ",
  "SQLITE_IOERR_SHORT_READ",
]);

/** Whether the disk does not give back what was written: a block of an SD card that is worn out. */
export function isUnreadable(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" && unreadable.has(code);
}

export function isFull(error: unknown): boolean {
  return codeOf(error) === "SQLITE_FULL";
}

/** An error of SQLite told so that somebody can mend it; others as they are. */
export function explainDatabase(path: string, error: unknown): unknown {
  const code = codeOf(error);
  if (error instanceof AppError || code === "") return error;
  return refusal("database-open", path, faultOf(code, error), error);
}

function refusal(code: string, path: string, { why, mend }: DatabaseFault, cause?: unknown): ConfigError {
  return new ConfigError(code, `Cannot open database ${quote(path)}: ${why}; ${mend}`, { cause });
}
