import { expect, test } from "bun:test";
import { join } from "node:path";
import { hasPair, podSpec, startPair, until, type Pair } from "#internal/test/support/pair.ts";

const metadata = (name: string): object => ({ name, namespace: "default" });
const settings = (value: string): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: metadata("settings"),
  data: { value },
});

function pod(name: string, node: string): object {
  const volumes = [{ name: "config", configMap: { name: "settings" } }];
  return { apiVersion: "v1", kind: "Pod", metadata: metadata(name), spec: { ...podSpec(node), volumes } };
}

const runs = (pair: Pair, name: string, wanted: number): Promise<void> =>
  until(30_000, () => {
    const found = pair.containers(`name=_${name}_`, "status=running").length;
    return found === wanted || `${name} has ${found} containers, not ${wanted}`;
  });

const value = (pair: Pair, wanted: string): Promise<void> =>
  until(20_000, () => {
    const stored = pair.rows("SELECT value FROM meta WHERE type = 'configmap'").join();
    return stored.includes(`"value":"${wanted}"`) || `the node has ${stored}`;
  });

test.skipIf(!hasPair())(
  "a node follows the restored state when its cloud came back from a backup",
  async () => {
    await using pair = await startPair();
    await pair.apply(settings("backed-up"), pod("stays", pair.node), pod("comes-back", pair.node));
    await pair.kubectl("wait", "--for=condition=Ready", "pod/stays", "pod/comes-back", "--timeout=30s");
    await value(pair, "backed-up");
    const file = join(pair.edgeDir, "../backup.tar");
    await pair.command("cloud", "backup", file);

    await pair.apply(settings("changed"), pod("later", pair.node));
    await pair.kubectl("delete", "pod/comes-back", "--wait=true");
    await pair.kubectl("wait", "--for=condition=Ready", "pod/later", "--timeout=30s");
    await value(pair, "changed");
    const [container = ""] = pair.containers("name=_main_stays_");
    expect(container).not.toBe("");

    await pair.killCloud();
    await pair.command("cloud", "restore", file, "--force");
    await pair.startCloud();

    await value(pair, "backed-up");
    await runs(pair, "comes-back", 2);
    await runs(pair, "later", 0);
    await until(
      5000,
      () => pair.containers("name=_main_stays_")[0] === container || "a pod was started again",
    );
    await pair.kubectl("wait", "--for=condition=Ready", "pod/stays", "pod/comes-back", "--timeout=30s");
  },
  120_000,
);
