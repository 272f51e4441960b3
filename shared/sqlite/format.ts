import type { Database } from "bun:sqlite";
import { userVersion } from "./database.ts";

/** What a program knows of the format of its database. */
export interface DatabaseFormat {
  /** e.g. `cloudcore` */
  readonly program: string;
  /** The release of the program. Older ones, which refuse the database once its format is raised, name it. */
  readonly release: string;
  /** SQL; the n-th brings a database from format n to n+1. Entries are never changed once released. */
  readonly steps: readonly string[];
}

/** @returns why this program cannot use the database, undefined when it can */
export function newerFormat(
  database: Database,
  { program, release, steps }: DatabaseFormat,
): string | undefined {
  const found = userVersion(database);
  if (found <= steps.length) return undefined;
  const writer = writerOf(database);
  const name = writer === undefined ? `a newer ${program}` : `${program} ${writer}`;
  return `it was written by ${name} (format ${found}, this ${program} ${release} knows ${steps.length})`;
}

/** Brings a database to the format of this program, all of it or, when it fails or is killed, nothing. */
export function migrateDatabase(database: Database, { release, steps }: DatabaseFormat): void {
  const raise = database.transaction(() => {
    // Read again: another process may have migrated it while this one waited for the lock.
    const found = userVersion(database);
    if (found >= steps.length) return;
    for (const step of steps.slice(found)) database.run(step);
    database.run("CREATE TABLE IF NOT EXISTS writer (id INTEGER PRIMARY KEY CHECK (id = 1), release TEXT)");
    database.run("INSERT OR REPLACE INTO writer VALUES (1, ?)", [release]);
    database.run(`PRAGMA user_version = ${steps.length}`);
  });
  if (userVersion(database) < steps.length) raise.immediate();
}

/** The release that raised the format last; those before 0.3.0 did not write it down. */
function writerOf(database: Database): string | undefined {
  const known = database.query("SELECT 1 FROM sqlite_schema WHERE name = 'writer'").get();
  if (known === null) return undefined;
  return database.query<{ release: string }, []>("SELECT release FROM writer").get()?.release;
}
