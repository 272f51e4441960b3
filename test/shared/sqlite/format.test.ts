import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { migrateDatabase, newerFormat, openDatabase, sqliteCode, type DatabaseFormat } from "#shared/sqlite";
import { eventually } from "#internal/scripts/service.ts";
import { hasSmallDisks, smallDisk } from "#internal/test/support/machine/small-disk.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const first = "CREATE TABLE a (x TEXT); INSERT INTO a VALUES ('kept');";
const second =
  "ALTER TABLE a ADD COLUMN y TEXT; CREATE TABLE b (x BLOB); INSERT INTO b VALUES (zeroblob(4096));";
const formatOf = (...steps: readonly string[]): DatabaseFormat => ({
  program: "testcore",
  release: "1.2.3",
  steps,
});

function open(path: string, format: DatabaseFormat): Database {
  return openDatabase(path, {
    busyTimeoutMs: 1000,
    journalLimitBytes: 1024 * 1024,
    setUp: (database) => migrateDatabase(database, format),
  });
}

function contentOf(path: string): unknown {
  using database = new Database(path, { readwrite: true });
  return {
    version: database.query("PRAGMA user_version").get(),
    tables: database.query("SELECT name FROM sqlite_schema ORDER BY name").values(),
    rows: database.query("SELECT * FROM a").values(),
  };
}

const before = { version: { user_version: 1 }, tables: [["a"], ["writer"]], rows: [["kept"]] };
const after = {
  version: { user_version: 2 },
  tables: [["a"], ["b"], ["writer"]],
  rows: [["kept", null]],
};

test("a database gets the steps it does not have yet", () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  open(path, formatOf(first)).close();
  expect(contentOf(path)).toEqual(before);
  open(path, formatOf(first, second)).close();
  expect(contentOf(path)).toEqual(after);
});

test("a database is as before when a later step fails", () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  open(path, formatOf(first)).close();
  expect(() => open(path, formatOf(first, second, "INSERT INTO nowhere VALUES (1)"))).toThrow(
    "no such table: nowhere",
  );
  expect(contentOf(path)).toEqual(before);
});

test("a database is as before when the migration is killed, and migrated by the next start", async () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  open(path, formatOf(first)).close();
  // Endless; a small cache makes SQLite write what is not committed into the log.
  const endless =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO b SELECT zeroblob(65536) FROM n;";
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "migrating-child.ts"), path, first, second, endless],
    { stdout: "ignore", stderr: "inherit" },
  );
  const log = `${path}-wal`;
  await eventually(20_000, async () => {
    if (!existsSync(log) || statSync(log).size < 4 * 1024 * 1024) throw new Error("nothing is written");
  });
  child.kill("SIGKILL");
  await child.exited;
  expect(contentOf(path)).toEqual(before);
  open(path, formatOf(first, second)).close();
  expect(contentOf(path)).toEqual(after);
}, 60_000);

test.skipIf(!hasSmallDisks())("a database is as before when its disk is too small for the migration", () => {
  using dir = tempDir();
  using _disk = smallDisk(dir.path, "1m");
  const path = join(dir.path, "x.db");
  const filler = join(dir.path, "filler");
  open(path, formatOf(first)).close();
  writeFileSync(filler, Buffer.alloc(700_000));
  const large = "CREATE TABLE b (x BLOB); INSERT INTO b VALUES (zeroblob(600000));";
  let code = "";
  try {
    open(path, formatOf(first, large)).close();
  } catch (error) {
    code = sqliteCode(error);
  }
  expect(code).toBe("SQLITE_FULL");
  rmSync(filler);
  expect(contentOf(path)).toEqual(before);
});

test("a database of a newer release is refused with its name, and not changed", () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  open(path, { ...formatOf(first, second), release: "2.0.0" }).close();
  using database = new Database(path, { readwrite: true });
  expect(newerFormat(database, formatOf(first))).toBe(
    "it was written by testcore 2.0.0 (format 2, this testcore 1.2.3 knows 1)",
  );
  migrateDatabase(database, formatOf(first));
  database.close();
  expect(contentOf(path)).toEqual(after);
});
