import { expect, test } from "bun:test";
import { deployment, hasPair, measure, podSpec, startPair } from "#internal/test/support/pair.ts";
import type { CutProxy } from "#internal/test/support/machine/cut-proxy.ts";

test.skipIf(!hasPair()).each([
  ["goes silent", (link: CutProxy) => link.stall()],
  ["refuses connections", (link: CutProxy) => link.cut({ refuse: true })],
] as const)(
  "a node whose link %s is NotReady within 40 s, keeps its pods, and is Ready within 5 s of its return",
  async (how, lose) => {
    await using pair = await startPair();
    await pair.apply(deployment("stays", podSpec()));
    await pair.kubectl("wait", "--for=condition=Available", "deployment/stays", "--timeout=30s");
    const containers = pair.containers();
    const pods = await pair.kubectl("get", "pods", "-o", "name");

    lose(pair.link);
    const silent = await measure(
      pair.kubectl("wait", "--for=condition=Ready=Unknown", `node/${pair.node}`, "--timeout=45s"),
    );
    expect(await pair.kubectl("get", "pods", "-o", "name")).toBe(pods);
    pair.link.restore();
    const back = await measure(pair.ready(10_000));

    console.log(
      `link ${how}: NotReady after ${Math.round(silent)} ms, Ready ${Math.round(back)} ms after its end`,
    );
    expect(pair.containers()).toEqual(containers);
    expect(await pair.kubectl("get", "pods", "-o", "name")).toBe(pods);
    expect(silent).toBeLessThanOrEqual(40_000);
    expect(back).toBeLessThanOrEqual(5000);
  },
  60_000,
);
