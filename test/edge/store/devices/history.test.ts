import { expect, test } from "bun:test";
import { join } from "node:path";
import { openStore, type HistoryLimits, type Store } from "#edge/store";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const limits: HistoryLimits = { maxAgeMs: 1e9, maxPerProperty: 10, maxPoints: 100 };

function write(store: Store, name: string, from: number, to: number): void {
  for (let at = from; at < to; at += 1)
    store.telemetry.add("d", name, { at, value: `${at}` }, limits.maxPerProperty);
}

function kept(store: Store, name: string): number[] {
  return store.telemetry.query({ deviceId: "d", name, limit: 10_000 }).map(({ at }) => at);
}

function trimAll(store: Store, nowMs: number, wanted: Partial<HistoryLimits> = {}): void {
  while (store.telemetry.trim(nowMs, { ...limits, ...wanted })) continue;
}

test("history keeps a property that was reported once while fewer points than allowed are there", () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  write(store, "once", 1, 2);
  write(store, "often", 2, 1000);
  trimAll(store, 1000);
  expect(kept(store, "once")).toEqual([1]);
});

test("history drops the oldest points of all above the limit, also of those written before a start", () => {
  using dir = tempDir();
  const path = join(dir.path, "edge.db");
  {
    using store = openStore(path);
    for (let n = 0; n < 15; n += 1) write(store, `p${n}`, n * 10, n * 10 + 10);
  }
  using store = openStore(path);
  trimAll(store, 1000);
  write(store, "last", 200, 205);
  trimAll(store, 1000);
  const names = ["p4", "p5", "p6", "p14", "last"];
  expect(names.map((name) => kept(store, name).length)).toEqual([0, 5, 10, 10, 5]);
});

test("history counts nothing that a failed commit took back, and nothing of a device that is gone", () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  write(store, "once", 1, 2);
  trimAll(store, 1000);
  const failed = (): void =>
    store.transaction(() => {
      for (let n = 0; n < 20; n += 1) write(store, `p${n}`, 10, 20);
      throw new Error("no room");
    });
  expect(failed).toThrow("no room");
  store.telemetry.add("gone", "p", { at: 30, value: "1" }, 10);
  store.devices.remove("gone");
  store.telemetry.forget("gone");
  trimAll(store, 1000, { maxPoints: 1 });
  expect(kept(store, "once")).toEqual([1]);
});

test("history drops points by age whatever a clock that jumped wrote before and between them", () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const wanted = { maxAgeMs: 100, maxPoints: 100_000 };
  for (let n = 0; n < 3000; n += 1) write(store, `ahead${n}`, 9_000_000 + n, 9_000_001 + n);
  write(store, "old", 100, 105);
  write(store, "fresh", 950, 955);
  write(store, "behind", 1, 3);
  write(store, "ahead", 9_000_000, 9_000_001);
  trimAll(store, 1000, wanted);
  expect(["ahead0", "ahead2999", "old", "fresh", "behind", "ahead"].map((name) => kept(store, name))).toEqual(
    [[], [], [], [950, 951, 952, 953, 954], [], [9_000_000]],
  );
});
