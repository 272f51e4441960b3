import { expect, test } from "bun:test";
import { copyFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Database } from "bun:sqlite";
import { countEngine, type CountedEngine } from "#internal/test/support/edge/counted-engine.ts";
import { docker } from "#internal/test/support/machine/container-engine.ts";
import { hasPair, podSpec, startPair, until, type Pair } from "#internal/test/support/pair.ts";

function pod(pair: Pair, name: string): Record<string, unknown> {
  const metadata = { name, namespace: "default" };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: podSpec(pair.node) };
}

async function runPods(pair: Pair, ...names: readonly string[]): Promise<void> {
  await pair.apply(...names.map((name) => pod(pair, name)));
  const refs = names.map((name) => `pod/${name}`);
  await pair.kubectl("wait", "--for=condition=Ready", ...refs, "--timeout=30s");
}

const idsOf = (pair: Pair, name: string): string[] => pair.containers(`name=_${name}_`);

/** The database as it is now; a function that puts it back. */
function backUp(pair: Pair): () => void {
  const names = readdirSync(pair.edgeDir).filter((name) => name.startsWith("edgecore.db"));
  const kept = join(pair.edgeDir, "backup-");
  for (const name of names) copyFileSync(join(pair.edgeDir, name), kept + name);
  return () => {
    for (const name of readdirSync(pair.edgeDir))
      if (name.startsWith("edgecore.db")) rmSync(join(pair.edgeDir, name));
    for (const name of names) copyFileSync(kept + name, join(pair.edgeDir, name));
  };
}

const isUp = (pair: Pair) => () => pair.edgeLog().includes('"msg":"running"') || "edgecore does not start";

/** Whatever edgecore decides of a list, it has done before the list after the next. */
async function listedTwice({ lists }: CountedEngine): Promise<void> {
  const before = lists();
  await until(20_000, () => lists() >= before + 3 || `the engine was listed ${lists() - before} times`);
}

test.skipIf(!hasPair())(
  "a node with an older database keeps its containers offline, and online loses those of deleted pods alone",
  async () => {
    await using pair = await startPair();
    await pair.killEdge();
    const restore = backUp(pair);
    await pair.startEdge();
    await pair.ready();
    await runPods(pair, "stays", "goes");
    const stays = idsOf(pair, "stays");
    const goes = idsOf(pair, "goes");
    await pair.killEdge();
    await pair.kubectl("delete", "pod/goes", "--force", "--grace-period=0");
    restore();
    pair.link.cut({ refuse: true });
    await using engine = await countEngine();
    await pair.startEdge({ dockerSocket: engine.socket });
    await until(10_000, isUp(pair));
    await listedTwice(engine);
    expect([idsOf(pair, "stays"), idsOf(pair, "goes")]).toEqual([stays, goes]);
    pair.link.restore();
    await until(20_000, () => idsOf(pair, "goes").length === 0 || "the deleted pod still has containers");
    await until(
      10_000,
      () =>
        pair.rows("SELECT key FROM meta WHERE type = 'pod'").includes("default/pod/stays") ||
        "the pod is not stored again",
    );
    expect([idsOf(pair, "stays"), docker("inspect", "-f", "{{.State.Running}}", ...stays)]).toEqual([
      stays,
      "true\ntrue",
    ]);
    await until(10_000, async () => {
      const events = await pair.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}");
      return events.includes("RemovedUnknownPod") || `no event: ${events}`;
    });
  },
  90_000,
);

test.skipIf(!hasPair())(
  "a pod whose row cannot be read keeps its containers, offline and online",
  async () => {
    await using pair = await startPair();
    await runPods(pair, "damaged");
    const before = idsOf(pair, "damaged");
    await pair.killEdge();
    {
      using db = new Database(join(pair.edgeDir, "edgecore.db"));
      db.run("UPDATE meta SET value = substr(value, 1, 50) WHERE key = 'default/pod/damaged'");
    }
    pair.link.cut({ refuse: true });
    await using engine = await countEngine();
    await pair.startEdge({ dockerSocket: engine.socket });
    await until(10_000, isUp(pair));
    await listedTwice(engine);
    expect(idsOf(pair, "damaged")).toEqual(before);
    pair.link.restore();
    await until(15_000, () => {
      const [row = ""] = pair.rows("SELECT value FROM meta WHERE key = 'default/pod/damaged'");
      return row.endsWith("}") || "the row is not restored";
    });
    await pair.kubectl("delete", "pod/damaged", "--timeout=20s");
    expect(idsOf(pair, "damaged")).toEqual([]);
  },
  90_000,
);

test.skipIf(!hasPair())(
  "a node with another data directory than before adopts its pods and removes the rest",
  async () => {
    await using pair = await startPair();
    await runPods(pair, "stays", "goes");
    const uids = new Map<string, string>();
    for (const name of ["stays", "goes"])
      uids.set(name, await pair.kubectl("get", "pod", name, "-o", "jsonpath={.metadata.uid}"));
    const all = (name: string): string[] =>
      docker("ps", "-aq", "--no-trunc", "--filter", `label=io.kubernetes.pod.uid=${uids.get(name)}`)
        .split("\n")
        .filter(Boolean);
    const before = all("stays");
    await pair.killEdge();
    await pair.kubectl("delete", "pod/goes", "--force", "--grace-period=0");
    pair.moveEdgeDir("edge-moved");
    await pair.startEdge();
    await pair.ready();
    await until(10_000, () => all("goes").length === 0 || "containers of the deleted pod are left");
    await until(30_000, () => {
      const now = idsOf(pair, "stays");
      return (now.length === 2 && !now.some((id) => before.includes(id))) || "the pod is not made again";
    });
    await pair.kubectl("wait", "--for=condition=Ready", "pod/stays", "--timeout=30s");
    expect(all("stays")).toHaveLength(2);
  },
  90_000,
);
