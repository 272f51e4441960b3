import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { docker } from "#internal/test/support/machine/container-engine.ts";
import { seeded } from "#internal/test/support/seeded.ts";
import { hasPair, measure, podSpec, startPair, until, type Pair } from "#internal/test/support/pair.ts";

const cuts = 30;
const mapNames = ["alpha", "beta"];

const configMap = (name: string, value: string): Record<string, unknown> => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data: { value },
});

async function startReader(pair: Pair): Promise<string> {
  const volumes = mapNames.map((name) => ({ name, configMap: { name } }));
  await pair.apply(...mapNames.map((name) => configMap(name, "first")), {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "reader", namespace: "default" },
    spec: { ...podSpec(pair.node), volumes },
  });
  await pair.kubectl("wait", "--for=condition=Ready", "pod/reader", "--timeout=30s");
  return pair.kubectl("get", "pod", "reader", "-o", "jsonpath={.metadata.uid}");
}

function fileOf(pair: Pair, uid: string, name: string): string {
  return readFileSync(join(pair.edgeDir, "pods", uid, "volumes", name, "value"), "utf8");
}

test.skipIf(!hasPair())(
  "the last value of everything arrives after 30 cuts in a stream of changes",
  async () => {
    await using pair = await startPair();
    const uid = await startReader(pair);
    const random = seeded(20_240_117);
    const moments = Array.from({ length: cuts }, (_, index) => index);
    for (const index of moments) {
      const name = mapNames[Math.floor(random() * mapNames.length)] ?? "";
      // A second one may still wait for its restart when the third is due.
      if (index % 10 === 4) killMain(pair);
      const change = pair.apply(configMap(name, `value ${index}`));
      // Every other cut finds a link; the rest fall into dials and handshakes as well.
      const links = index % 2 === 0 ? pair.link.accepted + 1 : 0;
      await Promise.all([change, cutAfter(pair, random() * 300)]);
      await until(10_000, () => pair.link.accepted >= links || "edgecore does not dial");
    }
    await pair.apply(...mapNames.map((name) => configMap(name, `last ${name}`)));
    const settled = await measure(
      until(30_000, () => {
        const files = mapNames.map((name) => fileOf(pair, uid, name));
        return (
          Bun.deepEquals(
            files,
            mapNames.map((name) => `last ${name}`),
          ) || `the files have ${files.join(", ")}`
        );
      }),
    );
    await pair.outboxEmpty(20_000);
    await pair.kubectl("wait", "--for=condition=Ready", "pod/reader", "--timeout=30s");
    console.log(
      `settled ${Math.round(settled)} ms after the last of ${cuts} cuts, ${pair.link.accepted} links`,
    );
    expect(pair.link.accepted).toBeGreaterThanOrEqual(cuts / 2);
    expect(pair.containers("status=running")).toHaveLength(2);
  },
  120_000,
);

/** The moment of the cut is the input of the test: `ms` after what was done before. */
async function cutAfter(pair: Pair, ms: number): Promise<void> {
  await Bun.sleep(ms);
  pair.link.cut();
}

function killMain(pair: Pair): void {
  const [id] = pair.containers("status=running", "label=io.kubernetes.container.name=main");
  if (id !== undefined) docker("kill", id);
}
