import { expect, test } from "bun:test";
import { WorkQueue } from "#internal/cloud/controllers/framework/work-queue.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

test("a key that waits for long runs early when it is added for sooner", async () => {
  const clock = new FakeClock();
  const ran = Promise.withResolvers<number>();
  const reconcile = async (): Promise<void> => ran.resolve(clock.monotonicMs() - startMs);
  await using queue = new WorkQueue({ name: "test", clock, log: silentLog(), reconcile });
  const startMs = clock.monotonicMs();
  queue.addAfter("key", 3_600_000);
  queue.addAfter("key", 10_000);
  queue.addAfter("key", 20_000);
  await clock.advance(10_000);
  expect(await ran.promise).toBe(10_000);
});
