import type { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { describeError } from "#shared/errors";
import { setDatabaseAside } from "#shared/files";
import type { Logger } from "#shared/log";
import { findDamage, isDamage } from "#shared/sqlite";
import { openUploadDatabase } from "./database.ts";

/** Past uploads are not worth a cloudcore that stays down: a damaged file is set aside, and a new one begun. @throws ConfigError */
export function openSoundDatabase(
  path: string,
  { nowMs, log }: { readonly nowMs: number; readonly log: Logger },
): Database {
  const fault = existsSync(path) ? faultOf(path) : undefined;
  if (fault === undefined) return openUploadDatabase(path);
  const aside = setDatabaseAside(path, nowMs);
  log.error("database of uploads was damaged, moved it aside and created an empty one", {
    database: path,
    fault,
    aside,
  });
  return openUploadDatabase(path);
}

function faultOf(path: string): string | undefined {
  try {
    using database = openUploadDatabase(path);
    return findDamage(database);
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    if (isDamage(cause)) return describeError(cause);
    throw error;
  }
}
