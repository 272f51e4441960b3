import { expect, test } from "bun:test";
import { deployment, hasPair, measure, podSpec, startPair } from "#internal/test/support/pair.ts";

test.skipIf(!hasPair())(
  "a node is NotReady within 40 s of a stalled link, keeps its pods, and is Ready within 5 s of its return",
  async () => {
    await using pair = await startPair();
    await pair.apply(deployment("stays", podSpec()));
    await pair.kubectl("wait", "--for=condition=Available", "deployment/stays", "--timeout=30s");
    const containers = pair.containers();
    const pods = await pair.kubectl("get", "pods", "-o", "name");

    pair.link.stall();
    const silent = await measure(
      pair.kubectl("wait", "--for=condition=Ready=Unknown", `node/${pair.node}`, "--timeout=45s"),
    );
    expect(await pair.kubectl("get", "pods", "-o", "name")).toBe(pods);
    pair.link.mend();
    const back = await measure(pair.ready(10_000));

    console.log(
      `NotReady ${Math.round(silent)} ms after the stall, Ready ${Math.round(back)} ms after its end`,
    );
    expect(pair.containers()).toEqual(containers);
    expect(await pair.kubectl("get", "pods", "-o", "name")).toBe(pods);
    expect(silent).toBeLessThanOrEqual(40_000);
    expect(back).toBeLessThanOrEqual(5000);
  },
  60_000,
);
