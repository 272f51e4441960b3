import { expect, test } from "bun:test";
import { Seldom } from "#shared/log";
import { silentLog } from "#internal/test/support/silent-log.ts";

test("seldom says a sentence once a minute, with how often it was meant since", () => {
  const log = silentLog();
  let nowMs = 0;
  const seldom = new Seldom(log, { monotonicMs: () => nowMs });
  for (let n = 0; n < 5; n += 1) seldom.warn("refused a client", { n });
  seldom.warn("another", {});
  nowMs = 60_000;
  seldom.warn("refused a client", { n: 5 });
  const said = log.lines.map((line) => {
    const { msg, n, moreSince } = JSON.parse(line) as Record<string, unknown>;
    return { msg, n, moreSince };
  });
  expect(said).toEqual([
    { msg: "refused a client", n: 0, moreSince: undefined },
    { msg: "another", n: undefined, moreSince: undefined },
    { msg: "refused a client", n: 5, moreSince: 4 },
  ]);
});

test("seldom tells of each subject once a minute, of twenty at most, and counts the others", () => {
  const log = silentLog();
  let nowMs = 0;
  const seldom = new Seldom(log, { monotonicMs: () => nowMs });
  const say = (who: string): void => seldom.warn("refused a client", { who }, who);
  for (let n = 0; n < 1000; n += 1) say("noisy");
  for (let n = 0; n < 50; n += 1) say(`quiet ${n}`);
  const told = log.lines.map((line) => (JSON.parse(line) as { who: string }).who);
  expect(told).toEqual(["noisy", ...Array.from({ length: 19 }, (_, n) => `quiet ${n}`)]);
  nowMs = 60_000;
  say("noisy");
  say("quiet 40");
  const later = log.lines.slice(20).map((line) => JSON.parse(line) as object);
  expect(later).toMatchObject([{ who: "noisy", moreSince: 999, others: 31 }, { who: "quiet 40" }]);
});

test("seldom forgets the subjects it told of first, but not how often they were meant", () => {
  const log = silentLog();
  let nowMs = 0;
  const seldom = new Seldom(log, { monotonicMs: () => nowMs });
  for (let minute = 0; minute < 12; minute += 1) {
    for (let n = 0; n < 20; n += 1) seldom.warn("refused a client", {}, `${minute} ${n}`);
    if (minute === 0) seldom.warn("refused a client", {}, "0 0");
    nowMs += 60_000;
  }
  const counts = log.lines.map((line) => (JSON.parse(line) as { others?: number }).others ?? 0);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1);
});
