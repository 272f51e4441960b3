import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { readStoredReport } from "#edge/edge-hub/codec";
import { openStore, type Store } from "#edge/store";
import { migrations } from "#internal/edge/store/file/schema.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

interface Message {
  readonly header: { readonly msg_id: string };
  readonly route: { readonly resource: string };
  readonly content: { readonly twin: Readonly<Record<string, unknown>> };
}

function report(id: string, twin: Record<string, unknown>, device = "d"): string {
  return JSON.stringify({
    header: { msg_id: id, timestamp: 1 },
    route: { resource: `device/${device}/twin/edge_updated` },
    content: { twin },
  });
}

/** Runs a whole fold. @returns how long its longest step took and what it gave up */
function fold(store: Store, wantedBytes: number): { readonly longestMs: number; readonly lost: number } {
  let longestMs = 0;
  let lost = 0;
  let began = performance.now();
  for (const step of store.backlog.fold(wantedBytes, { nowMs: () => 1000, readReport: readStoredReport })) {
    longestMs = Math.max(longestMs, performance.now() - began);
    lost += step.folded + step.droppedReports + step.droppedUploads;
    began = performance.now();
  }
  return { longestMs, lost };
}

function waiting(store: Store): Message[] {
  return store.outbox.listAfter(0, 100_000).map(({ message }) => JSON.parse(message) as Message);
}

function fill(store: Store, rows: Iterable<readonly [lane: string, message: string]>): number {
  store.transaction(() => {
    for (const [lane, message] of rows) store.outbox.put(lane, undefined, message);
  });
  return store.outbox.size().bytes;
}

function* repeated<T>(times: number, make: (n: number) => T): Generator<T> {
  for (let n = 0; n < times; n += 1) yield make(n);
}

test("backlog folds what waits into new messages and leaves alone what was sent", () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const sent = store.outbox.put("twin", undefined, report("sent", { a: 1, b: 1 }));
  store.outbox.put("twin", undefined, report("second", { a: 2 }));
  store.outbox.put("twin", undefined, "not JSON");
  store.outbox.put("twin", undefined, report("third", { c: 3 }));
  const last = store.outbox.put("twin", undefined, report("fourth", { a: 4 }));
  store.outbox.sentUpTo.others = sent;

  expect(fold(store, 1).lost).toBe(2);

  const rows = store.outbox.listAfter(0, 10);
  expect(rows.map(({ id }) => id)).toEqual([sent, sent + 2, last]);
  const { header, content } = JSON.parse(rows[2]?.message ?? "") as Message;
  expect(content.twin).toEqual({ a: 4, c: 3 });
  expect(["second", "third", "fourth"]).not.toContain(header.msg_id);
});

test("backlog folds thousands of reports of one device into one, in steps that are short", () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const bytes = fill(
    store,
    repeated(20_000, (n) => ["twin", report(`m${n}`, { [`p${n % 3}`]: n })]),
  );
  const { longestMs, lost } = fold(store, bytes - 200);
  expect(lost).toBe(19_999);
  expect(waiting(store).map(({ content }) => content.twin)).toEqual([{ p0: 19_998, p1: 19_999, p2: 19_997 }]);
  expect(longestMs).toBeLessThan(500);
});

test("backlog folds two reports each of ten thousand devices, however far apart", () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const bytes = fill(
    store,
    repeated(20_000, (n) => ["twin", report(`m${n}`, { [`p${n}`]: n }, `d${n % 10_000}`)]),
  );
  fold(store, bytes * 0.3);
  expect(store.outbox.size().bytes).toBeLessThanOrEqual(bytes * 0.7);
  expect(store.backlog.losses()).toMatchObject({ droppedReports: 0, droppedUploads: 0 });
  const properties = waiting(store).flatMap(({ content }) => Object.keys(content.twin));
  expect(new Set(properties).size).toBe(20_000);
});

test("backlog keeps properties that are named like parts of an object", () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const twin = JSON.parse('{"__proto__":1,"constructor":2}') as Record<string, unknown>;
  fill(store, [
    ["twin", report("a", twin)],
    ["twin", report("b", { x: 3 })],
  ]);
  fold(store, 1);
  expect(Object.entries(waiting(store)[0]?.content.twin ?? {})).toEqual([
    ["__proto__", 1],
    ["constructor", 2],
    ["x", 3],
  ]);
});

test("backlog drops the oldest uploads, no more than necessary, and counts them", () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  fill(
    store,
    repeated(20, (n) => ["upload", JSON.stringify({ header: { msg_id: `u${n}` }, x: "x".repeat(500_000) })]),
  );
  expect(fold(store, 1_200_000).lost).toBe(3);
  expect(waiting(store)[0]?.header.msg_id).toBe("u3");
  expect(store.backlog.losses()).toEqual({
    folded: 0,
    droppedReports: 0,
    droppedUploads: 3,
    sinceMs: 1000,
    lastMs: 1000,
  });
});

test("backlog drops the oldest reports when nothing else is left, and no row with a key", () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  store.outbox.put("twin", "state/d0", report("state", { s: 1 }, "d0"));
  fill(
    store,
    repeated(100, (n) => ["twin", report(`m${n}`, { a: n }, `d${n}`)]),
  );
  fold(store, 500);
  expect(store.backlog.losses()).toMatchObject({ folded: 0, droppedReports: 5 });
  fold(store, Number.MAX_SAFE_INTEGER);
  expect(waiting(store).map(({ header }) => header.msg_id)).toEqual(["state"]);
});

test("backlog folds what was under way when the link was lost, and continues after what was removed", () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const ids = ["a", "b", "c", "d", "e"].map((id) =>
    store.outbox.put("twin", undefined, report(id, { [id]: 1 })),
  );
  store.outbox.sentUpTo.others = ids[1] ?? 0;
  fold(store, 1);
  expect(store.outbox.listAfter(0, 10).map(({ id }) => id)).toEqual([ids[0], ids[1], ids[4]] as number[]);
  store.outbox.sentUpTo.others = 0;
  fold(store, 1);
  expect(waiting(store).map(({ content }) => content.twin)).toEqual([{ a: 1, b: 1, c: 1, d: 1, e: 1 }]);
  store.outbox.remove(ids);
  store.outbox.put("twin", undefined, report("f", { f: 1 }));
  expect(fold(store, 1).lost).toBe(1);
});

test("backlog keeps its counts of losses when the store is opened again", () => {
  using dir = tempDir();
  const path = join(dir.path, "edge.db");
  for (const _ of [1, 2]) {
    using store = openStore(path);
    fill(store, [
      ["twin", report("a", { a: 1 })],
      ["twin", report("b", { a: 2 })],
    ]);
    fold(store, 1);
  }
  using store = openStore(path);
  expect(store.backlog.losses()).toMatchObject({ folded: 3, sinceMs: 1000, lastMs: 1000 });
});

test("backlog folds rows that an earlier edgecore wrote", () => {
  using dir = tempDir();
  const path = join(dir.path, "edge.db");
  {
    using db = new Database(path, { create: true });
    for (const statements of migrations.slice(0, 2)) db.exec(statements);
    db.exec("PRAGMA user_version=2");
    const insert = db.query("INSERT INTO outbox (lane, message, bytes) VALUES ('twin', ?, ?)");
    for (const text of [report("a", { a: 1 }), report("b", { b: 2 })]) insert.run(text, text.length);
  }
  using store = openStore(path);
  expect(fold(store, 1).lost).toBe(1);
  expect(waiting(store).map(({ content }) => content.twin)).toEqual([{ a: 1, b: 2 }]);
});
