import { expect, test } from "bun:test";
import { trimHistory } from "#edge/device-twin/query";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

const limits = { maxAgeMs: 1, maxPerProperty: 1, maxPoints: 1 };

/** A history that needs so many steps to be trimmed. */
function historyOf(steps: number): { readonly trim: () => boolean; readonly trims: () => number } {
  let trims = 0;
  return {
    trim: () => {
      trims += 1;
      return trims < steps;
    },
    trims: () => trims,
  };
}

test("the history is trimmed in steps, once a minute", async () => {
  const clock = new FakeClock();
  const telemetry = historyOf(3);
  using _trim = trimHistory(limits, { store: { telemetry } as never, clock, log: silentLog() });
  await clock.advance(59_000);
  expect(telemetry.trims()).toBe(0);
  await clock.advance(1200);
  expect(telemetry.trims()).toBe(3);
  await clock.advance(60_000);
  expect(telemetry.trims()).toBe(4);
});

test("a trim ends with its owner", async () => {
  const clock = new FakeClock();
  const telemetry = historyOf(Number.POSITIVE_INFINITY);
  {
    using _trim = trimHistory(limits, { store: { telemetry } as never, clock, log: silentLog() });
    await clock.advance(60_000);
  }
  const trims = telemetry.trims();
  await clock.advance(120_000);
  expect(telemetry.trims()).toBe(trims);
});
