import type { Database } from "bun:sqlite";
import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { AppError, asError, ConfigError, describeError, quote } from "#shared/errors";
import { createPrivateFile, setDatabaseAside } from "#shared/files";
import type { Logger } from "#shared/log";
import { findDamage, isDamage, openDatabase } from "./database.ts";
import { migrateDatabase, newerFormat, type DatabaseFormat } from "./format.ts";

export interface ExpendableOptions {
  readonly format: DatabaseFormat;
  readonly nowMs: number;
  readonly log: Logger;
}

/**
 * Opens a database without which the program has to start: a damaged file is set aside, with a line in the log, and a new one begun.
 * @throws ConfigError
 */
export function openExpendableDatabase(path: string, { format, nowMs, log }: ExpendableOptions): Database {
  const fault = existsSync(path) ? faultOf(path, format) : undefined;
  if (fault !== undefined) {
    const aside = setDatabaseAside(path, nowMs);
    log.error("database was damaged, moved it aside and created an empty one", {
      database: path,
      fault,
      aside,
    });
  }
  return open(path, format);
}

function faultOf(path: string, format: DatabaseFormat): string | undefined {
  try {
    using database = open(path, format);
    return findDamage(database);
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    if (isDamage(cause)) return describeError(cause);
    throw error;
  }
}

function open(path: string, format: DatabaseFormat): Database {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    createPrivateFile(path);
    return openDatabase(path, {
      busyTimeoutMs: 2000,
      journalLimitBytes: 16 * 1024 * 1024,
      setUp: (database) => {
        refuseNewer(database, path, format);
        migrateDatabase(database, format);
      },
    });
  } catch (error) {
    if (error instanceof AppError) throw error;
    const text = `Cannot open database ${quote(path)}: ${asError(error).message}`;
    throw new ConfigError("database-unusable", text, { cause: error });
  }
}

function refuseNewer(database: Database, path: string, format: DatabaseFormat): void {
  const problem = newerFormat(database, format);
  if (problem === undefined) return;
  const remedy = `install that ${format.program} or a newer one, or move the file away`;
  throw new ConfigError("database-newer", `Cannot open database ${quote(path)}: ${problem}; ${remedy}`);
}
