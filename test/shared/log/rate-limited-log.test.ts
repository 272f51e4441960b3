import { expect, test } from "bun:test";
import { RateLimitedLog } from "#shared/log";
import { silentLog } from "#internal/test/support/silent-log.ts";

test("rate-limited log writes a sentence once a minute, with how often it was suppressed", () => {
  const log = silentLog();
  let nowMs = 0;
  const limited = new RateLimitedLog(log, { monotonicMs: () => nowMs });
  for (let n = 0; n < 5; n += 1) limited.warn("refused a client", { n });
  limited.warn("another", {});
  nowMs = 60_000;
  limited.warn("refused a client", { n: 5 });
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

test("rate-limited log writes a sentence once a minute for each of twenty subjects, and counts the others", () => {
  const log = silentLog();
  let nowMs = 0;
  const limited = new RateLimitedLog(log, { monotonicMs: () => nowMs });
  const refuse = (who: string): void => limited.warn("refused a client", { who }, who);
  for (let n = 0; n < 1000; n += 1) refuse("noisy");
  for (let n = 0; n < 50; n += 1) refuse(`quiet ${n}`);
  const logged = log.lines.map((line) => (JSON.parse(line) as { who: string }).who);
  expect(logged).toEqual(["noisy", ...Array.from({ length: 19 }, (_, n) => `quiet ${n}`)]);
  nowMs = 60_000;
  refuse("noisy");
  refuse("quiet 40");
  const later = log.lines.slice(20).map((line) => JSON.parse(line) as object);
  expect(later).toMatchObject([{ who: "noisy", moreSince: 999, others: 31 }, { who: "quiet 40" }]);
});

test("rate-limited log forgets the oldest subjects, but not how often they were suppressed", () => {
  const log = silentLog();
  let nowMs = 0;
  const limited = new RateLimitedLog(log, { monotonicMs: () => nowMs });
  for (let minute = 0; minute < 12; minute += 1) {
    for (let n = 0; n < 20; n += 1) limited.warn("refused a client", {}, `${minute} ${n}`);
    if (minute === 0) limited.warn("refused a client", {}, "0 0");
    nowMs += 60_000;
  }
  const counts = log.lines.map((line) => (JSON.parse(line) as { others?: number }).others ?? 0);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1);
});
