import { expect, test } from "bun:test";
import { freePorts } from "#internal/scripts/service.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { startTestNode } from "./harness.ts";

test("a port that is taken stops nothing else on the node, and is used once it is free", async () => {
  const [port = 0] = freePorts(1);
  const other = Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
  const clock = new FakeClock();
  await using node = await startTestNode(undefined, { port, clock });
  expect(node.server.address.port).toBe(port);
  expect(node.log.lines.filter((line) => line.includes("retrying"))).toHaveLength(1);
  other.stop(true);
  await clock.advance(10_000);
  const answer = await node.get("/healthz");
  expect([answer.status, await answer.text()]).toEqual([200, "ok"]);
});
