import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { startEventExpiry } from "#internal/cloud/controllers/cluster/event-expiry/index.ts";
import { recordEvent } from "#internal/cloud/controllers/framework/events.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { smallPod } from "#internal/test/cloud/controllers/cluster-harness.ts";

test("Events are created one by one and deleted after an hour, and a failure to create one is only logged", async () => {
  const clock = new FakeClock();
  const kube = new FakeKubeClient({ clock });
  const deps = { kube, clock, log: silentLog() };
  const record = (reason: string): Promise<void> =>
    recordEvent(deps, resources.pods, smallPod("p"), {
      type: "Normal",
      reason,
      message: "m",
      component: "test",
    });
  await using _expiry = startEventExpiry(deps);
  await record("First");
  await record("Second");
  await clock.advance(30 * 60_000);
  await record("Third");
  expect(kube.all(resources.events)).toHaveLength(3);
  await clock.advance(36 * 60_000);
  expect(kube.all(resources.events).map((event) => event["reason"])).toEqual(["Third"]);
  kube.fail(({ verb }) => verb === "create", new Error("no room"));
  await record("Lost");
  expect(deps.log.lines.join("")).toContain("no room");
});
