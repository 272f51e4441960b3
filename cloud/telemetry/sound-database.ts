import type { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { describeError } from "#shared/errors";
import { setDatabaseAside } from "#shared/files";
import type { Logger } from "#shared/log";
import { openDatabase } from "./database.ts";

const damage: ReadonlySet<unknown> = new Set(["SQLITE_NOTADB", "SQLITE_CORRUPT"]);

/** Past uploads are not worth a cloudcore that stays down: a damaged file is set aside, and a new one begun. @throws ConfigError */
export function openSoundDatabase(
  path: string,
  { nowMs, log }: { readonly nowMs: number; readonly log: Logger },
): Database {
  const fault = existsSync(path) ? faultOf(path) : undefined;
  if (fault === undefined) return openDatabase(path);
  const aside = setDatabaseAside(path, nowMs);
  log.error("database of uploads was damaged, moved it aside and created an empty one", {
    database: path,
    fault,
    aside,
  });
  return openDatabase(path);
}

function faultOf(path: string): string | undefined {
  try {
    using database = openDatabase(path);
    const found = database.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check;
    return found === "ok" ? undefined : (found ?? "no answer");
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    if (damage.has((cause as { readonly code?: unknown }).code)) return describeError(cause);
    throw error;
  }
}
