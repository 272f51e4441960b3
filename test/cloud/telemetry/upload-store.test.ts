import { silentLog } from "#internal/test/support/silent-log.ts";
import { afterAll, describe, expect, test } from "bun:test";
import { rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { planTrim } from "#internal/cloud/telemetry/trim-plan.ts";
import { UploadStore, type NewUpload } from "#internal/cloud/telemetry/upload-store.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { hasSmallDisks, smallDisk } from "#internal/test/support/machine/small-disk.ts";

interface Opened extends AsyncDisposable {
  readonly store: UploadStore;
  /** how many were dropped, run by run */
  readonly dropped: number[];
  nowMs: number;
  /** as `nowMs` unless told */
  monotonicMs?: number;
}

function open(path: string, limitBytes = 1e8, maxAgeMs = 1000): Opened {
  const dropped: number[] = [];
  const opened: Omit<Opened, "store" | typeof Symbol.asyncDispose> = { nowMs: 0, dropped };
  const store = new UploadStore({
    log: silentLog(),
    path,
    bounds: { limitBytes, maxAgeMs },
    clock: { nowMs: () => opened.nowMs, monotonicMs: () => opened.monotonicMs ?? opened.nowMs },
    onDropped: (count) => dropped.push(count),
    onError: (error) => {
      throw error;
    },
  });
  return Object.assign(opened, { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() });
}

function upload(n: number, more: Partial<NewUpload> = {}): NewUpload {
  return {
    node: "edge-1",
    messageId: `m${n}`,
    topic: "t",
    sentAt: n,
    receivedAt: n,
    content: `${n}`,
    ...more,
  };
}

test("uploads come back in order of arrival, page by page", async () => {
  using dir = tempDir();
  await using opened = open(join(dir.path, "x.db"));
  const { store } = opened;
  await Promise.all([1, 2, 3].map((n) => store.add(upload(n))));
  expect(store.page({ after: 1, limit: 1 })).toEqual([
    { id: 2, node: "edge-1", topic: "t", sentAt: 2, receivedAt: 2, content: "2" },
  ]);
  expect(store.page({ after: 2, limit: 10 }).map(({ id }) => id)).toEqual([3]);
});

test("a page holds one node or topic when asked", async () => {
  using dir = tempDir();
  await using opened = open(join(dir.path, "x.db"));
  const { store } = opened;
  const places = [{ node: "a" }, { node: "b" }, { node: "b", topic: "u" }];
  await Promise.all(places.map((place, n) => store.add(upload(n, place))));
  const ids = (of: { node?: string; topic?: string }): number[] =>
    store.page({ ...of, after: 0, limit: 9 }).map(({ id }) => id);
  expect([ids({ node: "b" }), ids({ topic: "t" }), ids({ node: "b", topic: "t" })]).toEqual([
    [2, 3],
    [1, 2],
    [2],
  ]);
});

test("a page of large uploads is short", async () => {
  using dir = tempDir();
  await using opened = open(join(dir.path, "x.db"));
  const { store } = opened;
  const content = "x".repeat(5 * 1024 * 1024);
  await Promise.all([1, 2, 3].map((n) => store.add(upload(n, { content }))));
  expect(store.page({ after: 0, limit: 9 }).map(({ id }) => id)).toEqual([1, 2]);
  await store.add(upload(4));
  expect(store.page({ after: 2, limit: 9 }).map(({ id }) => id)).toEqual([3, 4]);
});

test("a message sent twice is there once and takes no id", async () => {
  using dir = tempDir();
  await using opened = open(join(dir.path, "x.db"));
  const { store } = opened;
  await Promise.all([store.add(upload(1)), store.add(upload(1)), store.add(upload(2))]);
  await store.add(upload(1));
  await store.add(upload(1, { node: "edge-2" }));
  expect(store.page({ after: 0, limit: 9 }).map(({ id, node, content }) => [id, node, content])).toEqual([
    [1, "edge-1", "1"],
    [2, "edge-1", "2"],
    [3, "edge-2", "1"],
  ]);
});

test("the oldest go when the disk they may take is spent, and are counted", async () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  const limitBytes = 1_000_000;
  const content = "x".repeat(1000);
  {
    await using opened = open(path, limitBytes);
    const { store } = opened;
    for (let n = 0; n < 5000; n += 50)
      await Promise.all(Array.from({ length: 50 }, (_, k) => store.add(upload(n + k, { content }))));
    await store.trim();
    expect(opened.dropped.reduce((sum, count) => sum + count, 0)).toBe(store.dropped);
  }
  await using opened = open(path, limitBytes);
  const { store } = opened;
  const kept = store.page({ after: 0, limit: 5000 }).map(({ id }) => id);
  expect(kept.at(-1)).toBe(5000);
  expect(kept.length).toBeGreaterThan(500);
  expect(store.dropped).toBe(5000 - kept.length);
  expect(statSync(path).size).toBeLessThan(limitBytes * 1.5);
});

test("a node that floods drops its own uploads, and nodes that send alike keep alike much", async () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  const content = "x".repeat(1000);
  const countOf = (store: UploadStore, node: string): number =>
    store.page({ node, after: 0, limit: 9999 }).length;
  const send = (store: UploadStore, node: string, count: number, from = 0): Promise<unknown> =>
    Promise.all(Array.from({ length: count }, (_, n) => store.add(upload(from + n, { node, content }))));
  {
    await using opened = open(path, 1_000_000);
    const { store } = opened;
    await send(store, "quiet", 100);
    for (let n = 0; n < 4000; n += 50) await send(store, "flood", 50, n);
    await store.trim();
    expect(countOf(store, "quiet")).toBe(100);
    expect(countOf(store, "flood")).toBeGreaterThan(300);
    expect(store.dropped).toBe(4000 - countOf(store, "flood"));
  }
  await using opened = open(path, 1_000_000);
  const { store } = opened;
  for (let n = 0; n < 4000; n += 50) await send(store, "other", 50, n);
  await store.trim();
  expect(countOf(store, "quiet")).toBe(100);
  expect(Math.abs(countOf(store, "flood") - countOf(store, "other"))).toBeLessThan(60);
  expect(store.dropped).toBe(
    8100 - ["quiet", "flood", "other"].reduce((sum, node) => sum + countOf(store, node), 0),
  );
});

test("what is too old goes, and its ids do not come again", async () => {
  using dir = tempDir();
  await using opened = open(join(dir.path, "x.db"));
  const { store } = opened;
  for (const n of [1, 2]) await store.add(upload(n));
  opened.nowMs = 5000;
  await store.trim();
  expect(store.dropped).toBe(2);
  await store.add(upload(3, { receivedAt: 5000 }));
  expect(store.page({ after: 0, limit: 9 }).map(({ id }) => id)).toEqual([3]);
  expect([store.dropped, opened.dropped]).toEqual([2, [2]]);
});

test("what is too old goes, though a clock that was ahead dated what came before", async () => {
  using dir = tempDir();
  await using opened = open(join(dir.path, "x.db"));
  const { store } = opened;
  opened.nowMs = 5000;
  // More than one step of trimming looks at.
  const ahead = Array.from({ length: 600 }, (_, n) => store.add(upload(n, { receivedAt: 90_000 })));
  await Promise.all(ahead);
  await store.trim();
  expect(store.dropped).toBe(0);
  await store.add(upload(600, { receivedAt: 5000 }));
  await store.add(upload(601, { receivedAt: 6500 }));
  opened.nowMs = 6500;
  await store.trim();
  expect(store.page({ after: 0, limit: 9 }).map(({ id }) => id)).toEqual([602]);
});

test("uploads stay when a clock jumps ahead and back, also over a restart, and go when it stays there", async () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  const [hour, year] = [3_600_000, 370 * 86_400_000];
  const maxAgeMs = 100 * hour;
  const at = (opened: Opened, wallMs: number, monotonicMs: number): Promise<void> => {
    Object.assign(opened, { nowMs: wallMs, monotonicMs });
    return opened.store.trim();
  };
  {
    await using opened = open(path, 1e8, maxAgeMs);
    await opened.store.add(upload(1, { receivedAt: 0 }));
    await at(opened, year, 60_000);
    await opened.store.add(upload(2, { receivedAt: year }));
    await at(opened, year + 20 * hour, 20 * hour);
    expect(opened.store.dropped).toBe(0);
    await at(opened, 21 * hour, 21 * hour);
    await opened.store.add(upload(3, { receivedAt: 21 * hour }));
  }
  await using opened = open(path, 1e8, maxAgeMs);
  await at(opened, year, 0);
  await at(opened, year + 23 * hour, 23 * hour);
  expect(opened.store.dropped).toBe(0);
  await at(opened, year + 25 * hour, 25 * hour);
  expect(opened.store.page({ after: 0, limit: 9 }).map(({ id }) => id)).toEqual([2, 3]);
});

test("uploads go from the oldest on, though a clock jumped", () => {
  const oldest = [
    { id: 1, receivedAt: 900, bytes: 10 },
    { id: 2, receivedAt: 100, bytes: 10 },
    { id: 3, receivedAt: 950, bytes: 10 },
  ];
  expect(planTrim(oldest, { bytes: 0, beforeMs: 500 })).toBeUndefined();
  expect(planTrim(oldest, { bytes: 5, beforeMs: 500 })).toBe(2);
  expect(planTrim(oldest, { bytes: 11, beforeMs: 0 })).toBe(2);
});

test("every confirmed upload is there after kill -9, each once and in order", async () => {
  using dir = tempDir();
  const path = join(dir.path, "x.db");
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "writing-child.ts"), path], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const confirmed: string[] = [];
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of child.stdout) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    confirmed.push(...lines);
    if (confirmed.length > 2000) child.kill("SIGKILL");
  }
  await child.exited;
  await using opened = open(path, 1e9, 1e12);
  const kept = opened.store.page({ after: 0, limit: 1e6 });
  const byNode = Map.groupBy(kept, ({ node }) => node);
  const found = new Set(
    [...byNode].flatMap(([node, uploads]) => uploads.map((_, index) => `${node}/${index}`)),
  );
  expect(confirmed.filter((name) => !found.has(name))).toEqual([]);
  for (const uploads of byNode.values())
    expect(uploads.map(({ content }) => content)).toEqual(uploads.map((_, n) => String(n).repeat(50)));
});

const full = tempDir("telemetry-full");
const hasDisk = hasSmallDisks();
const disk = hasDisk ? smallDisk(full.path, "3m") : undefined;

afterAll(() => {
  disk?.[Symbol.dispose]();
  full[Symbol.dispose]();
});

describe.skipIf(!hasDisk)("a full disk", () => {
  test("refuses uploads, loses none that was confirmed, and is over when there is room", async () => {
    const path = join(full.path, "x.db");
    const filler = join(full.path, "filler");
    writeFileSync(filler, Buffer.alloc(1_000_000));
    const confirmed: number[] = [];
    const content = "x".repeat(50_000);
    const tryAdd = (store: UploadStore, n: number): Promise<boolean> =>
      store.add(upload(n, { content })).then(
        () => confirmed.push(n) > 0,
        () => false,
      );
    {
      await using opened = open(path);
      let next = 1;
      while (await tryAdd(opened.store, next)) next += 1;
      expect(opened.store.hasRoom(100_000)).toBe(false);
      rmSync(filler);
      expect([opened.store.hasRoom(100_000), await tryAdd(opened.store, next)]).toEqual([true, true]);
    }
    await using opened = open(path);
    const sent = opened.store.page({ after: 0, limit: 1000 }).map(({ sentAt }) => sentAt);
    expect(sent).toEqual(confirmed);
    expect(confirmed.length).toBeGreaterThan(3);
  });
});
