import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { RevisionStore } from "#cloud/kube-api/store";
import type { KubeObject } from "#shared/kube";
import { openRevisionDatabase } from "#internal/cloud/kube-api/store/file/database.ts";
import { makeOldDatabase, oldObjects, type OldObject } from "#internal/test/support/machine/old-release.ts";
import { hasSmallDisks, smallDisk } from "#internal/test/support/machine/small-disk.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

function openStore(path: string): RevisionStore {
  const keyFile = `${path}.keys`;
  return new RevisionStore({ path, keyFile, historyRevisions: 10_000, onError: () => undefined });
}

function objectsIn(store: RevisionStore, before: readonly OldObject[]): OldObject[] {
  return [...new Set(before.map(({ resource }) => resource))].flatMap((resource) =>
    store.list(resource).map(({ key, revision }) => ({
      resource,
      key,
      object: JSON.parse(store.text(revision) ?? "null") as KubeObject,
    })),
  );
}

/** Writes until nothing more goes in. */
function fillUp(path: string): void {
  const file = openSync(path, "w");
  try {
    for (const bytes of [65_536, 4096, 1])
      expect(() => {
        for (;;) writeSync(file, Buffer.alloc(bytes));
      }).toThrow("ENOSPC");
  } finally {
    closeSync(file);
  }
}

test.each([
  ["the release that wrote it", "9.9.9", "cloudcore 9.9.9"],
  ["no release, as those before 0.3.0 have not written theirs", undefined, "a newer cloudcore"],
])("a database of a newer cloudcore is refused with %s, and not changed", (_name, release, writer) => {
  using dir = tempDir("kubeedge-format");
  const path = join(dir.path, "cloudcore.db");
  openRevisionDatabase(path).close();
  {
    using database = new Database(path);
    database.run("PRAGMA user_version = 99");
    if (release === undefined) database.run("DROP TABLE writer");
    else database.run("UPDATE writer SET release = ?", [release]);
  }
  const before = digest(path);
  expect(() => openRevisionDatabase(path)).toThrow(
    `it was written by ${writer} (format 99, this cloudcore 0.0.0-source knows 1)`,
  );
  expect(digest(path)).toBe(before);
});

test("a database of release 0.1.0 has all of its objects after the upgrade", async () => {
  using dir = tempDir("kubeedge-format");
  const path = join(dir.path, "cloudcore.db");
  makeOldDatabase("cloudcore", path, "node-1");
  const before = oldObjects(path);
  expect(new Set(before.map(({ resource }) => resource)).size).toBeGreaterThan(30);
  await using store = openStore(path);
  expect(objectsIn(store, before)).toEqual([...before]);
});

test.skipIf(!hasSmallDisks())(
  "a database of release 0.1.0 has all of its objects after an upgrade for which its disk was too small",
  async () => {
    using dir = tempDir("kubeedge-format");
    using _disk = smallDisk(dir.path, "1m");
    const path = join(dir.path, "cloudcore.db");
    const filler = join(dir.path, "filler");
    makeOldDatabase("cloudcore", path, "node-1");
    const before = oldObjects(path);
    fillUp(filler);
    expect(() => openStore(path)).toThrow("its disk is full");
    expect(oldObjects(path)).toEqual([...before]);
    rmSync(filler);
    await using store = openStore(path);
    expect(objectsIn(store, before)).toEqual([...before]);
  },
);
