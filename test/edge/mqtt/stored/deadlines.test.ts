import { expect, test } from "bun:test";
import { Deadlines } from "#internal/edge/mqtt/stored/deadlines.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";

test("times that come one after the other within seconds are gone through once a second", async () => {
  const clock = new FakeClock(0);
  const waiting = new Set(Array.from({ length: 5000 }, (_, index) => 10_000 + index));
  const runs: number[] = [];
  let latestMs = 0;
  const deadlines = new Deadlines(
    clock,
    () => clock.monotonicMs(),
    () => {
      const nowMs = clock.monotonicMs();
      runs.push(nowMs);
      for (const atMs of waiting)
        if (atMs > nowMs) deadlines.note(atMs);
        else {
          waiting.delete(atMs);
          latestMs = Math.max(latestMs, nowMs - atMs);
        }
    },
  );
  for (const atMs of waiting) deadlines.note(atMs);
  await clock.advance(20_000);
  expect(waiting.size).toBe(0);
  expect(runs).toEqual([10_000, 11_000, 12_000, 13_000, 14_000, 15_000]);
  expect(latestMs).toBeLessThan(1000);
  expect(deadlines.isWaiting).toBe(false);
  deadlines.note(30_000);
  expect(deadlines.isWaiting).toBe(true);
  await clock.advance(10_000);
  expect(runs.at(-1)).toBe(30_000);
});

test("an earlier time is not missed while a later one is waited for", async () => {
  const clock = new FakeClock(0);
  const runs: number[] = [];
  const deadlines = new Deadlines(
    clock,
    () => clock.monotonicMs(),
    () => void runs.push(clock.monotonicMs()),
  );
  deadlines.note(5000);
  deadlines.note(2000);
  await clock.advance(2100);
  deadlines.note(2200);
  deadlines.note(2150);
  await clock.advance(10_000);
  expect(runs).toEqual([2000, 3000]);
  deadlines.note(20_000);
  deadlines.end();
  await clock.advance(10_000);
  expect(runs).toHaveLength(2);
});
