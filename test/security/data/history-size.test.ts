import { afterEach, beforeEach, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import { RevisionStore } from "#cloud/kube-api/store";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const resource = "/configmaps";
const MB = 1024 * 1024;

let folder: ReturnType<typeof tempDir>;
const path = (): string => join(folder.path, "cloudcore.db");

beforeEach(() => {
  folder = tempDir("history");
});
afterEach(() => folder[Symbol.dispose]());

function open(historyBytes = 8 * MB): RevisionStore {
  return new RevisionStore({
    path: path(),
    historyRevisions: 10_000,
    historyBytes,
    onError: (error) => {
      throw error;
    },
  });
}

/** As somebody who may change one object of a megabyte again and again. */
async function change(store: RevisionStore, times: number, name = "big"): Promise<void> {
  const text = "x".repeat(MB);
  for (let index = 0; index < times; index += 1) {
    const object = { metadata: { name }, data: { text, index } };
    await store.write({ resource, key: `default/${name}`, object });
  }
}

function sizeMb(): number {
  return ["", "-wal"].reduce((sum, end) => sum + statSync(`${path()}${end}`).size, 0) / MB;
}

test("the database stays small when a large object is changed again and again", async () => {
  await using store = open();
  await change(store, 100);
  expect(sizeMb()).toBeLessThan(60);
  expect(
    store.since(resource, store.compactedRevision, { rows: 1000, size: 1000 * MB }).length,
  ).toBeGreaterThan(5);
  expect(JSON.parse(store.get(resource, "default/big") ?? "")).toMatchObject({ data: { index: 99 } });
});

test("values from before a restart count", async () => {
  {
    await using store = open(1000 * MB);
    await change(store, 30);
  }
  await using store = open();
  await store.compact();
  expect(store.compactedRevision).toBeGreaterThan(20);
});

test("readers one after the other do not prevent compaction", async () => {
  await using store = open();
  let pin = store.pin();
  for (let index = 0; index < 40; index += 1) {
    await change(store, 1);
    const next = store.pin();
    pin[Symbol.dispose]();
    pin = next;
  }
  await store.compact();
  pin[Symbol.dispose]();
  expect(store.compactedRevision).toBeGreaterThan(25);
});

test("what a reader began to read stays whole while others write much", async () => {
  await using store = open();
  await change(store, 1, "first");
  await change(store, 1, "second");
  const started = store.list(resource);
  using pin = store.pin();
  await change(store, 40, "first");
  await store.compact();
  expect(started.map(({ revision }) => store.text(revision) === undefined)).toEqual([false, false]);
  pin[Symbol.dispose]();
  await store.compact();
  expect(started.map(({ revision }) => store.text(revision) === undefined)).toEqual([true, false]);
});

test("small changes stay followable for as many revisions as before", async () => {
  await using store = open();
  for (let index = 0; index < 2000; index += 1)
    void store.write({ resource, key: "default/a", object: { metadata: { name: "a" }, index } });
  await store.settled();
  await store.compact();
  expect(store.compactedRevision).toBe(0);
});
