import { constants, Database } from "bun:sqlite";
import { errorCodeOf } from "#shared/errors";

export interface DatabaseSettings {
  /** How long a statement waits for a lock of another process. */
  readonly busyTimeoutMs: number;
  /** What the write-ahead log is cut to after a checkpoint that has emptied it. */
  readonly journalLimitBytes: number;
  /**
   * Keep the log and its index when the database is closed: made again on a disk that is full meanwhile, they would
   * keep it from being opened.
   */
  readonly keepJournal?: boolean;
  /** Further pragmas, with their values. */
  readonly pragmas?: Readonly<Record<string, string | number>>;
  /** Creates or migrates the tables. */
  readonly setUp: (database: Database) => void;
}

/**
 * Opens a database, created when absent, in which a commit survives loss of power: write-ahead log, and every commit on
 * disk before it returns (synchronous=FULL). Closes it again when a pragma or `setUp` fails.
 * @throws what SQLite or `setUp` throws
 */
export function openDatabase(path: string, settings: DatabaseSettings): Database {
  const database = new Database(path, { create: true, strict: true });
  try {
    database.run("PRAGMA journal_mode = WAL");
    if (settings.keepJournal) database.fileControl(constants.SQLITE_FCNTL_PERSIST_WAL, 1);
    database.run(`PRAGMA journal_size_limit = ${settings.journalLimitBytes}`);
    database.run("PRAGMA synchronous = FULL");
    // There may be no other place that can be written.
    database.run("PRAGMA temp_store = MEMORY");
    database.run(`PRAGMA busy_timeout = ${settings.busyTimeoutMs}`);
    for (const [name, value] of Object.entries(settings.pragmas ?? {}))
      database.run(`PRAGMA ${name} = ${value}`);
    settings.setUp(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** The number of the format or schema, 0 in a new database. */
export function userVersion(database: Database): number {
  return database.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
}

/** Reads the whole database. @returns the first fault of its pages, or undefined when there is none */
export function findDamage(database: Database): string | undefined {
  const found = database.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check;
  return found === "ok" ? undefined : (found ?? "no answer");
}

/** The primary code of an error of SQLite, `SQLITE_IOERR` also for `SQLITE_IOERR_WRITE`; empty for other errors. */
export function sqliteCode(error: unknown): string {
  return /^SQLITE_[A-Z]+/.exec(errorCodeOf(error) ?? "")?.[0] ?? "";
}

/** Whether an error means that the file itself is damaged, or was never a database. */
export function isDamage(error: unknown): boolean {
  return ["SQLITE_NOTADB", "SQLITE_CORRUPT"].includes(sqliteCode(error));
}
