import { Database } from "bun:sqlite";
import { createPrivateFile } from "#shared/files";
import { sqliteCode } from "#shared/sqlite";

/**
 * A lock that the kernel releases when its process ends, in whatever way. Unlike a pid it also finds a process in
 * another container that shares the folder, and two that come at once cannot both have it.
 * @returns undefined when another process has it, also `waitMs` later
 */
export function takeKernelLock(file: string, waitMs: number): Disposable | undefined {
  createPrivateFile(file);
  const database = new Database(file, { readwrite: true });
  try {
    database.run(`PRAGMA busy_timeout = ${waitMs}`);
    // Of an empty database SQLite would note on disk that it was empty, which a full disk does not take.
    database.run("PRAGMA journal_mode = MEMORY");
    // Takes SQLite's lock for writing, and writes nothing.
    database.run("BEGIN IMMEDIATE");
    return { [Symbol.dispose]: () => database.close() };
  } catch (error) {
    database.close();
    if (sqliteCode(error) === "SQLITE_BUSY") return undefined;
    throw error;
  }
}
