import { expect, test } from "bun:test";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { eventually } from "#internal/scripts/service.ts";
import { startTestNode } from "./harness.ts";

test("a pod that starts as soon as there is a network of pods has the address, and reaches the API there", async () => {
  const found: { address?: string } = {};
  // The clock never advances: nothing looks for the network but the pod that asks.
  await using node = await startTestNode(undefined, {
    clock: new FakeClock(Date.now()),
    findNetwork: () =>
      found.address === undefined ? undefined : { address: found.address, includes: () => true },
  });
  expect(node.server.address.podHost()).toBeUndefined();
  found.address = "127.0.0.2";
  expect(node.server.address.podHost()).toBe("127.0.0.2");
  const { port, caPem } = node.server.address;
  const answer = await eventually(5000, () =>
    fetch(`https://127.0.0.2:${port}/healthz`, { tls: { ca: caPem }, keepalive: false }),
  );
  expect([answer.status, await answer.text()]).toEqual([200, "ok"]);
});
