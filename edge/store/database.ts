import { Database } from "bun:sqlite";
import { ConfigError } from "#shared/errors";
import { migrations } from "./schema.ts";

/** The one door to SQLite at the edge. WAL, every commit on disk before it returns (synchronous=FULL). */
export function openDatabase(path: string): Database {
  let db: Database;
  try {
    db = new Database(path, { create: true, strict: true });
    db.exec("PRAGMA journal_mode=WAL");
    db.exec("PRAGMA synchronous=FULL");
    db.exec("PRAGMA foreign_keys=ON");
    db.exec("PRAGMA busy_timeout=5000");
  } catch (cause) {
    throw new ConfigError("database-open", `Cannot open database "${path}": ${String(cause)}`, { cause });
  }
  migrate(db, path);
  return db;
}

function migrate(db: Database, path: string): void {
  const row = db.query<{ user_version: number }, []>("PRAGMA user_version").get();
  const version = row?.user_version ?? 0;
  if (version > migrations.length) {
    db.close();
    throw new ConfigError(
      "database-newer",
      `Cannot open database "${path}": it was written by a newer edgecore (schema ${version}, this one knows ${migrations.length})`,
    );
  }
  for (const [index, statements] of migrations.entries()) {
    if (index < version) continue;
    db.transaction(() => {
      db.exec(statements);
      db.exec(`PRAGMA user_version=${index + 1}`);
    })();
  }
}
