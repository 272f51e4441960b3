import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { RevisionStore } from "#cloud/kube-api/store";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const resource = "devices.kubeedge.io/devices";
const key = "default/thermo";

function open(path: string): RevisionStore {
  return new RevisionStore({ path, historyRevisions: 10_000, onError: () => undefined });
}

async function put(store: RevisionStore, value: number, isVolatile = true, name = "thermo"): Promise<number> {
  const object = { metadata: { name }, status: { value } };
  return (await store.write({ resource, key: `default/${name}`, object, isVolatile })).revision;
}

const valueOf = (text: string | undefined): number =>
  (JSON.parse(text ?? "{}") as { status: { value: number } }).status.value;

function rowsOnDisk(path: string): number[] {
  using database = new Database(path, { readonly: true });
  return database
    .query<{ value: string }, []>("SELECT value FROM revisions ORDER BY id")
    .all()
    .map(({ value }) => valueOf(value));
}

test("volatile revisions are read, listed and watched like others, and only the newest reaches the disk", async () => {
  using dir = tempDir();
  const path = join(dir.path, "cloudcore.db");
  {
    await using store = open(path);
    const first = await put(store, 0, false);
    const seen: number[] = [];
    using _follow = store.follow(resource, (changes) =>
      seen.push(...changes.map(({ text }) => valueOf(text))),
    );
    for (let n = 1; n <= 50; n += 1) await put(store, n);
    expect(seen).toEqual(Array.from({ length: 50 }, (_, n) => n + 1));
    expect(valueOf(store.get(resource, key))).toBe(50);
    const since = store.since(resource, first + 40, { rows: 100, size: 1e6 });
    expect(since.map(({ text, type }) => [type, valueOf(text)]).at(-1)).toEqual(["MODIFIED", 50]);
    expect(store.listAt(first + 10, resource).map(({ revision }) => valueOf(store.text(revision)))).toEqual([
      10,
    ]);
    expect(rowsOnDisk(path)).toEqual([0]);
    await store.storeVolatile();
    expect(rowsOnDisk(path)).toEqual([0, 50]);
    await put(store, 51);
  }
  expect(rowsOnDisk(path)).toEqual([0, 50, 51]);
  await using again = open(path);
  expect(valueOf(again.get(resource, key))).toBe(51);
  expect({ lost: again.lostStatuses.asked, compacted: again.compactedRevision }).toEqual({
    lost: undefined,
    compacted: 0,
  });
});

test("a durable revision after volatile ones takes their place, and compaction leaves one row", async () => {
  using dir = tempDir();
  const path = join(dir.path, "cloudcore.db");
  {
    await using store = new RevisionStore({ path, historyRevisions: 1, onError: () => undefined });
    await put(store, 0, false);
    for (let n = 1; n <= 5; n += 1) await put(store, n);
    await put(store, 6, false);
    await put(store, 7);
    await store.storeVolatile();
    for (let n = 8; n <= 20; n += 1) {
      await put(store, n);
      if (n % 4 === 0) await store.compact();
      if (n % 5 === 0) await store.storeVolatile();
    }
    await put(store, 0, false, "other");
    await put(store, 1, false, "other");
    await put(store, 2, false, "third");
    await store.compact();
    expect(valueOf(store.get(resource, key))).toBe(20);
    expect(store.list(resource).map(({ key: one }) => one)).toEqual([
      "default/other",
      "default/thermo",
      "default/third",
    ]);
  }
  expect(rowsOnDisk(path)).toEqual([20, 1, 2]);
});

test("what is listed page by page is there to the end of the list", async () => {
  using dir = tempDir();
  await using store = open(join(dir.path, "cloudcore.db"));
  await put(store, 0, false);
  for (let n = 1; n <= 10; n += 1) await put(store, n);
  const [listed] = store.list(resource);
  {
    using _pin = store.pin();
    for (let n = 11; n <= 5000; n += 1) await put(store, n);
    expect(valueOf(store.text(listed?.revision ?? 0))).toBe(10);
  }
});

test("kill -9 takes volatile revisions and never their numbers, and clients have to list again", async () => {
  using dir = tempDir();
  const path = join(dir.path, "cloudcore.db");
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "volatile-child.ts"), path], {
    stdout: "pipe",
  });
  let text = "";
  for await (const chunk of child.stdout) {
    text += new TextDecoder().decode(chunk);
    if (text.split("\n").length > 2000) break;
  }
  child.kill("SIGKILL");
  await child.exited;
  const [revision = 0, number = 0] = (text.trimEnd().split("\n").slice(0, -1).at(-1) ?? "")
    .split(" ")
    .map(Number);
  await using store = open(path);
  const read = (name: string): number =>
    Number(
      (JSON.parse(store.get("/configmaps", `ns/${name}`) ?? "{}") as { data: { number: string } }).data
        .number,
    );
  expect(read("spec")).toBeGreaterThanOrEqual(Math.floor(number / 100) * 100);
  expect(read("status")).toBeGreaterThanOrEqual(Math.floor(number / 700) * 700);
  expect(store.revision).toBeGreaterThanOrEqual(revision);
  expect(store.compactedRevision).toBeGreaterThanOrEqual(revision);
  expect(store.lostStatuses.asked).toEqual([]);
  store.lostStatuses.save(["edge-1"]);
  await store[Symbol.asyncDispose]();
  await using again = open(path);
  expect(again.lostStatuses.asked).toEqual(["edge-1"]);
  again.lostStatuses.save(undefined);
  expect(again.lostStatuses.asked).toBeUndefined();
});

/** The values of all devices after each revision, as they were written. */
class Model {
  readonly #states = new Map<number, Record<string, number>>();
  #current: Record<string, number> = {};

  wrote(revision: number, name: string, value: number | undefined): void {
    const { [name]: _before, ...others } = this.#current;
    this.#current = value === undefined ? others : { ...others, [name]: value };
    this.#states.set(revision, this.#current);
  }

  /** What `store` says otherwise, and how many revisions it can be listed at. */
  compare(store: RevisionStore, from: number, step = 7): { wrong: unknown[]; known: number } {
    const wrong: unknown[] = [];
    let known = 0;
    for (const [revision, state] of this.#states) {
      if (revision % step !== 0 || revision < Math.max(from, store.oldestOf(resource))) continue;
      known += 1;
      const listed = store.listAt(revision, resource).map((one) => [one.key, store.text(one.revision)]);
      const read = Object.fromEntries(
        listed.map(([name = "", text]) => [name.replace("default/", ""), text && valueOf(text)]),
      );
      if (!Bun.deepEquals(read, state)) wrong.push({ revision, read, state });
    }
    return { wrong, known };
  }
}

test("a resource is listed as it was at each revision that is not refused, also after a restart", async () => {
  using dir = tempDir();
  const path = join(dir.path, "cloudcore.db");
  const model = new Model();
  const names = ["a", "b", "c", "d"];
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let start = 0; start < 3; start += 1) {
    await using store = open(path);
    expect(model.compare(store, 0).wrong).toEqual([]);
    for (let n = 1; n <= 4000; n += 1) {
      // The last is quiet, then replaced: it is needed for all revisions between.
      const name = names[n % 1500 === 0 ? 3 : random(3)] ?? "";
      const there = store.find(resource, `default/${name}`) !== undefined;
      const remove = there && random(400) === 0;
      const object = { metadata: { name }, status: { value: n } };
      const isVolatile = random(40) !== 0;
      const { revision } = await store.write({
        resource,
        key: `default/${name}`,
        object,
        isVolatile,
        remove,
      });
      model.wrote(revision, name, remove ? undefined : n);
      if (n % 900 === 0) await store.storeVolatile();
      if (n % 700 === 0) expect(model.compare(store, revision - 300).wrong).toEqual([]);
    }
    const { wrong, known } = model.compare(store, 0);
    expect(wrong.slice(0, 3)).toEqual([]);
    expect(known).toBeGreaterThan(250);
    expect(store.oldestOf(resource)).toBeGreaterThan(0);
    expect(store.oldestOf("/configmaps")).toBe(0);
  }
});

test("followers find what each change replaced", async () => {
  using dir = tempDir();
  await using store = open(join(dir.path, "cloudcore.db"));
  let missing = 0;
  using _follow = store.follow(resource, (changes) => {
    for (const { previous } of changes)
      if (previous !== undefined && store.text(previous) === undefined) missing += 1;
  });
  await put(store, 0, false);
  for (let n = 1; n <= 6000; n += 1) {
    await put(store, n, n % 10 !== 0);
    if (n % 1700 === 0) await store.storeVolatile();
  }
  expect(missing).toBe(0);
});
