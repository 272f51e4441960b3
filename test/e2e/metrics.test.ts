import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { demoImage } from "#internal/scripts/engine.ts";
import { deployment, hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";

describe.skipIf(!hasPair())("usage of nodes and pods", () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await startPair();
    // Busy half of the time: the machine has other things to do.
    const script = "while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.05; done";
    const web = { name: "web", image: demoImage, command: ["/bin/busybox", "sh", "-c", script] };
    const resources = { requests: { cpu: "10m" } };
    await pair.apply(
      deployment("busy", { terminationGracePeriodSeconds: 0, containers: [{ ...web, resources }] }),
    );
    await pair.kubectl("rollout", "status", "deployment/busy", "--timeout=60s");
  }, 90_000);
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
  }, 20_000);

  test("kubectl top shows the node, and the container that is busy", async () => {
    const [, node = ""] = (await pair.kubectl("top", "nodes")).split("\n");
    expect(node).toMatch(new RegExp(String.raw`^${pair.node}\s+\d+m\s+\d+%\s+\d+Mi\s+\d+%`));
    await until(30_000, async () => {
      const pods = await pair.kubectl("top", "pods", "-A", "--containers", "--no-headers");
      const [, millicores] = /^default\s+busy-\S+\s+web\s+(\d+)m\s+\d+Mi/m.exec(pods) ?? [];
      return Number(millicores) > 20 || `kubectl top says ${pods}`;
    });
  }, 60_000);
});
