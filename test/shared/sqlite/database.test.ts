import { expect, test } from "bun:test";
import { statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { findDamage, isDamage, openDatabase, sqliteCode, userVersion } from "#shared/sqlite";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const settings = {
  busyTimeoutMs: 10,
  journalLimitBytes: 1_000_000,
  pragmas: { user_version: 7 },
  setUp: () => undefined,
};

test("database is opened so that commits survive loss of power", () => {
  using dir = tempDir();
  using database = openDatabase(join(dir.path, "x.db"), settings);
  const pragma = (name: string): unknown => Object.values(database.query(`PRAGMA ${name}`).get() ?? {})[0];
  expect([pragma("journal_mode"), pragma("synchronous"), pragma("busy_timeout")]).toEqual(["wal", 2, 10]);
  expect([userVersion(database), findDamage(database)]).toEqual([7, undefined]);
});

test("database is closed when its tables cannot be set up", () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  const setUp = (): void => {
    throw new Error("no tables");
  };
  expect(() => openDatabase(path, { ...settings, setUp })).toThrow("no tables");
  using again = openDatabase(path, settings);
  expect(findDamage(again)).toBeUndefined();
});

test("database that lost its end is found to be damaged", () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  openDatabase(path, {
    ...settings,
    setUp: (database) => {
      database.run("CREATE TABLE t (x TEXT)");
      for (let n = 0; n < 200; n += 1) database.run("INSERT INTO t VALUES (?)", ["x".repeat(1000)]);
    },
  }).close();
  truncateSync(path, Math.floor(statSync(path).size / 8192) * 4096);
  let thrown: unknown;
  let damage: string | undefined;
  try {
    using database = openDatabase(path, settings);
    damage = findDamage(database);
  } catch (error) {
    thrown = error;
  }
  expect(damage !== undefined || isDamage(thrown)).toBe(true);
});

test("code of an error of SQLite is its primary one, and empty for others", () => {
  expect(sqliteCode(Object.assign(new Error("x"), { code: "SQLITE_IOERR_WRITE" }))).toBe("SQLITE_IOERR");
  expect([sqliteCode(new Error("x")), sqliteCode(undefined), sqliteCode({ code: 5 })]).toEqual(["", "", ""]);
});
