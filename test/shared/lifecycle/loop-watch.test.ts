import { expect, test } from "bun:test";
import { eventually } from "#internal/scripts/service.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { systemClock } from "#shared/clock";
import { note, watchLoop } from "#shared/lifecycle";

interface Line {
  readonly msg: string;
  readonly level: string;
  readonly ms: number;
  readonly during: string;
  readonly duringMs: number;
}

function hold(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** The first line of the watch after `work` has held the loop. */
async function lineAfter(work: () => void): Promise<Line> {
  const log = silentLog();
  const looked = Promise.withResolvers<void>();
  let looks = 0;
  const cpuMs = (): number => {
    looks += 1;
    // The first look is that of the start, the second ends a turn of the watch.
    if (looks === 2) looked.resolve();
    return performance.now();
  };
  using _watch = watchLoop({ clock: systemClock, log, cpuMs });
  await looked.promise;
  work();
  return await eventually(2000, async () => {
    const [line] = log.lines;
    if (line === undefined) throw new Error("nothing is logged");
    return JSON.parse(line) as Line;
  });
}

test("the watch names what ran longest when the event loop was held for more than half a second", async () => {
  const line = await lineAfter(() => {
    note("a request", "GET /");
    hold(150);
    note("garbage", "configmaps. default/a");
    hold(1000);
    note("another");
    hold(50);
  });
  expect(line).toMatchObject({
    msg: "event loop was blocked",
    level: "warn",
    during: "garbage configmaps. default/a",
  });
  expect([line.ms >= 700, line.duringMs >= 990]).toEqual([true, true]);
});

test("the watch logs unnamed work when what held the event loop gave no name", async () => {
  const line = await lineAfter(() => hold(1000));
  expect(line.during).toBe("unnamed work");
});

test("the watch is quiet when many short turns take long together", async () => {
  const log = silentLog();
  using _watch = watchLoop({ clock: systemClock, log, cpuMs: () => 0 });
  const end = performance.now() + 900;
  while (performance.now() < end) {
    note("a short one");
    hold(20);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(log.lines).toEqual([]);
});
