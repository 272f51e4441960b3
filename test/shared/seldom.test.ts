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
