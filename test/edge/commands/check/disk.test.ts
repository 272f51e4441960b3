import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openStore } from "#edge/store";
import { checkDataDir, checkDisk } from "#shared/cli";
import { hasSmallDisks, smallDisk } from "#internal/test/support/machine/small-disk.ts";
import { checkFile, makeFiles, startFile, type Files } from "./files.ts";

let files: Files;
const data = (name = ""): string => join(files.path, "data", name);
beforeAll(async () => void (files = await makeFiles()));
afterAll(() => files[Symbol.dispose]());

/** Findings of `check` about the disk, and the error of the start. */
async function outcome(rest = ""): Promise<{ readonly check: string[]; readonly start: string }> {
  const check = (await checkFile(files, rest)).filter((line) => /^\w+ (data directory|database) /.test(line));
  const { code, error } = await startFile(files, rest);
  return { check, start: `${code} ${error}` };
}

const notOne = "name the file of edgecore's database in database.path, or move that one away";

describe("check and start report alike a data directory that", () => {
  test("is a file", async () => {
    rmSync(data(), { recursive: true, force: true });
    writeFileSync(data(), "");
    const why = "it, or a part of its path, is a file; remove that, or set data-dir elsewhere";
    expect(await outcome()).toEqual({
      check: [`fail data directory data: ${why}`],
      start: `2 edgecore: Cannot use data directory "data": ${why}`,
    });
    rmSync(data());
  });

  test.skipIf(!hasSmallDisks())("is mounted read-only, or is full", async () => {
    using _disk = smallDisk(data(), "64k");
    writeFileSync(data("filler"), "x".repeat(64 * 1024));
    const full = "no space is left there; free some, or set data-dir elsewhere";
    expect((await outcome()).check).toEqual([`fail data directory data: ${full}`]);
    // The lock needs no room, so that a node with a database starts; this one has none yet.
    expect((await startFile(files, "")).error).toBe(
      `Cannot open database "data/edgecore.db": its disk is full (database or disk is full); free some space there`,
    );
    Bun.spawnSync(["mount", "-o", "remount,ro", data()]);
    const readOnly = "its file system is mounted read-only; mount it writable, or set data-dir elsewhere";
    expect(await outcome()).toEqual({
      check: [`fail data directory data: ${readOnly}`],
      start: `2 edgecore: Cannot use data directory "data": ${readOnly}`,
    });
  });
});

describe("check and start report alike a database that", () => {
  test.each([
    ["is none", "nonsense ".repeat(1000), `it is not an SQLite database (file is not a database); ${notOne}`],
    [
      "is a folder",
      undefined,
      "it cannot be opened (unable to open database file); check that its folder exists and that edgecore may write to both",
    ],
  ])("%s", async (_name, content, why) => {
    rmSync(data(), { recursive: true, force: true });
    mkdirSync(data(), { recursive: true });
    if (content === undefined) mkdirSync(data("edgecore.db"));
    else writeFileSync(data("edgecore.db"), content);
    expect(await outcome()).toEqual({
      check: ["ok data directory data", `fail database data/edgecore.db: ${why}`],
      start: `2 Cannot open database "data/edgecore.db": ${why}`,
    });
  });

  test("was written by a newer edgecore", async () => {
    rmSync(data(), { recursive: true, force: true });
    mkdirSync(data(), { recursive: true });
    using db = new Database(data("edgecore.db"), { create: true });
    db.run("PRAGMA user_version=99");
    const { check, start } = await outcome();
    expect(check[1]).toMatch(
      /^fail database .* a newer edgecore \(format 99, .*; install that edgecore, or a newer one$/,
    );
    expect(start).toMatch(
      /^2 Cannot open database .* a newer edgecore .*; install that edgecore, or a newer one$/,
    );
  });

  test("shall be where there is no folder", async () => {
    rmSync(data(), { recursive: true, force: true });
    mkdirSync(data(), { recursive: true });
    const { check } = await outcome(`database: { path: ${data("no/edge.db")} }`);
    expect(check[1]).toBe("fail database data/no does not exist; make it, or set database.path elsewhere");
  });
});

test("check finds damage beyond the first pages and leaves nothing behind", async () => {
  rmSync(data(), { recursive: true, force: true });
  mkdirSync(data(), { recursive: true });
  const path = data("edgecore.db");
  {
    using store = openStore(path);
    for (let n = 0; n < 200; n += 1)
      store.metas.put({ key: `k${n}`, type: "configmap", value: "v".repeat(1000) });
  }
  const database = async (): Promise<string | undefined> =>
    (await checkFile(files, "")).find((line) => line.includes(" database "));
  expect(await database()).toBe("ok database data/edgecore.db");
  {
    using store = openStore(path);
    store.metas.put({ key: "more", type: "configmap", value: "" });
    expect(await database()).toBe("ok database data/edgecore.db");
  }
  const bytes = Buffer.from(await Bun.file(path).bytes());
  writeFileSync(path, bytes.fill(7, bytes.length / 2, bytes.length / 2 + 20_000));
  expect(await database()).toMatch(
    /^fail database data\/edgecore.db: it is damaged \(.+\); restart edgecore/,
  );
  expect(readdirSync(data())).toEqual(["edgecore.db"]);
});

test("check makes nothing where there is no data directory yet", async () => {
  rmSync(data(), { recursive: true, force: true });
  expect((await checkFile(files, "")).filter((line) => line.includes("data"))).toContain(
    "ok data directory data will be made",
  );
  expect(existsSync(data())).toBe(false);
});

test("check ends when the data directory is a relative path that is not there", () => {
  expect(checkDisk("no-such-folder/data").subject).toBe("disk");
  expect(checkDataDir("no-such-folder/data", undefined).evidence).toBe("no-such-folder/data will be made");
});
