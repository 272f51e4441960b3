import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openRevisionDatabase } from "#internal/cloud/kube-api/store/file/database.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

test("a database of a newer cloudcore is refused and not changed", () => {
  using dir = tempDir("kubeedge-format");
  const path = join(dir.path, "cloudcore.db");
  openRevisionDatabase(path).close();
  {
    using database = new Database(path);
    database.run("PRAGMA user_version = 99");
  }
  const before = digest(path);
  expect(() => openRevisionDatabase(path)).toThrow(
    "it was written by a newer cloudcore (format 99, this one knows 1)",
  );
  expect(digest(path)).toBe(before);
});

test("a database of an older cloudcore is migrated", () => {
  using dir = tempDir("kubeedge-format");
  const path = join(dir.path, "cloudcore.db");
  {
    using database = new Database(path);
    database.run("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID");
    database.run("INSERT INTO settings VALUES ('a', 'b')");
  }
  using database = openRevisionDatabase(path);
  expect(database.query("SELECT value FROM settings").all()).toEqual([{ value: "b" }]);
  expect(database.query("PRAGMA user_version").get()).toEqual({ user_version: 1 });
});
