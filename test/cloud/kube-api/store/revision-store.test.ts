import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { RevisionStore, TooLargeError, type RevisionChange } from "#cloud/kube-api/store";
import type { KubeObject } from "#shared/kube";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const resource = "/configmaps";

function open(path: string, historyRevisions = 1000): RevisionStore {
  return new RevisionStore({
    path,
    historyRevisions,
    onError: (error) => {
      throw error;
    },
  });
}

function object(name: string, value = ""): KubeObject {
  return { metadata: { name }, data: { value } };
}

const write = (store: RevisionStore, name: string, value = "", remove = false): Promise<RevisionChange> =>
  store.write({ resource, key: `ns/${name}`, object: object(name, value), remove });

test("store numbers revisions from one and sets resourceVersion in the text", async () => {
  await using store = open(":memory:");
  const first = await write(store, "a");
  const second = await write(store, "a", "2");
  expect([first.revision, second.revision, second.previous]).toEqual([1, 2, 1]);
  expect(JSON.parse(store.get(resource, "ns/a") ?? "")).toEqual({
    metadata: { name: "a", resourceVersion: "2" },
    data: { value: "2" },
  });
});

test("store commits writes of one turn together and notifies followers in order", async () => {
  await using store = open(":memory:");
  const notified: string[][] = [];
  using _following = store.follow(resource, (changes) => notified.push(changes.map((change) => change.key)));
  await Promise.all([write(store, "a"), write(store, "b"), write(store, "c")]);
  expect(notified).toEqual([["ns/a", "ns/b", "ns/c"]]);
});

test("store reads the texts of a list in its order, and those of compacted revisions as undefined", async () => {
  await using store = open(":memory:");
  for (let at = 0; at < 60; at += 1) await write(store, "a", String(at));
  const asked = Float64Array.of(50, 7, 1000, 60, 7);
  const one = (revision: number): string | undefined => store.text(revision);
  expect(store.texts(asked)).toEqual([one(50), one(7), undefined, one(60), one(7)]);
  expect(store.texts(Float64Array.of(9))).toEqual([one(9)]);
  const all = Float64Array.from({ length: 60 }, (_, at) => 60 - at);
  expect(store.texts(all)).toEqual([...all.subarray(0, 32)].map(one));
});

test("store lists keys sorted, by prefix and after a key", async () => {
  await using store = open(":memory:");
  for (const key of ["b/2", "a/1", "b/1", "bb/1"]) {
    await store.write({ resource, key, object: object(key) });
  }
  expect(store.list(resource).map(({ key }) => key)).toEqual(["a/1", "b/1", "b/2", "bb/1"]);
  expect(store.list(resource, "b/").map(({ key }) => key)).toEqual(["b/1", "b/2"]);
  expect(store.list(resource, "b/", "b/1").map(({ key }) => key)).toEqual(["b/2"]);
});

test("store shows a collection as it was at an earlier revision", async () => {
  await using store = open(":memory:");
  await write(store, "a", "old");
  const { revision } = await write(store, "b");
  await write(store, "a", "new");
  await write(store, "b", "", true);
  await write(store, "c");
  const then = store.listAt(revision, resource);
  expect(then.map(({ key }) => key)).toEqual(["ns/a", "ns/b"]);
  expect(JSON.parse(store.text(then[0]?.revision ?? 0) ?? "").data).toEqual({ value: "old" });
});

test("store deletes replaced and deleted revisions when it compacts", async () => {
  await using store = open(":memory:", 1);
  await write(store, "a", "1");
  await write(store, "a", "2");
  await write(store, "gone");
  await write(store, "gone", "", true);
  await write(store, "a", "3");
  await store.compact();
  expect(store.compactedRevision).toBe(4);
  expect([1, 2, 3, 4, 5].map((id) => store.text(id) !== undefined)).toEqual([
    false,
    true,
    false,
    false,
    true,
  ]);
  expect(
    store.since(resource, 4, { rows: 10, size: 1e6 }).map(({ revision, type }) => [revision, type]),
  ).toEqual([[5, "MODIFIED"]]);
});

test("store keeps pinned revisions and compacts older ones", async () => {
  await using store = open(":memory:", 1);
  await write(store, "a", "1");
  using pin = store.pin();
  await write(store, "a", "2");
  await write(store, "a", "3");
  using _later = store.pin();
  await store.compact();
  expect([store.compactedRevision, store.text(1) !== undefined]).toEqual([1, true]);
  pin[Symbol.dispose]();
  await store.compact();
  expect([store.compactedRevision, store.text(1) !== undefined]).toEqual([2, false]);
});

test("store continues at its last revision after it was closed", async () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  {
    await using store = open(path);
    await write(store, "a", "1");
    await write(store, "b", "1");
    await write(store, "b", "1", true);
  }
  await using store = open(path);
  expect([store.revision, store.list(resource)]).toEqual([3, [{ key: "ns/a", revision: 1 }]]);
  expect((await write(store, "c")).revision).toBe(4);
});

test("store holds every acknowledged write after kill -9", async () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "writing-child.ts"), path], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const acknowledged: string[] = [];
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of child.stdout) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    acknowledged.push(...lines);
    if (acknowledged.length > 2000) child.kill("SIGKILL");
  }
  await child.exited;
  await using store = open(path);
  const lost = acknowledged.filter((name) => store.find(resource, `ns/${name}`) === undefined);
  expect(acknowledged.length).toBeGreaterThan(2000);
  expect(lost).toEqual([]);
});

test("store refuses a file that is not a database", () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  writeFileSync(path, "this is not a database at all, not even a little bit of one".repeat(50));
  expect(() => open(path)).toThrow(`Cannot open database "${path}"`);
});

test("store refuses an object above 1.5 MiB, and lets a larger one shrink and be deleted", async () => {
  await using store = open(":memory:");
  const put = (bytes: number, more: { anySize?: boolean; remove?: boolean } = {}): Promise<RevisionChange> =>
    store.write({ resource, key: "ns/big", object: object("big", "x".repeat(bytes)), ...more });
  expect(put(1_600_000)).rejects.toThrow(TooLargeError);
  await put(1_700_000, { anySize: true });
  expect(put(1_800_000)).rejects.toThrow(TooLargeError);
  await put(1_650_000);
  await put(1_650_000, { remove: true });
  expect(store.get(resource, "ns/big")).toBeUndefined();
});

test("store writes nothing along with an object that it refuses", async () => {
  await using store = open(":memory:");
  const along = [{ resource, key: "ns/along", object: object("along", "x") }];
  const put = (bytes: number): Promise<RevisionChange> =>
    store.write({ resource, key: "ns/first", object: object("first", "x".repeat(bytes)) }, along);
  expect(put(1_600_000)).rejects.toThrow(TooLargeError);
  await store.settled();
  expect(store.list(resource)).toEqual([]);
  const { revision } = await put(1);
  expect(store.list(resource).map((one) => [one.key, one.revision])).toEqual([
    ["ns/along", revision + 1],
    ["ns/first", revision],
  ]);
});
