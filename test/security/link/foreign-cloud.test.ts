import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { inOrder } from "#internal/test/support/in-order.ts";
import { hasPair, podSpec, startPair, until, type Pair } from "#internal/test/support/pair.ts";

const apiVersion = "devices.kubeedge.io/v1beta1";
const metadata = (name: string): object => ({ name, namespace: "default" });
const pod = (name: string, node: string): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: metadata(name),
  spec: podSpec(node),
});
const model = {
  apiVersion,
  kind: "DeviceModel",
  metadata: metadata("sensor"),
  spec: { protocol: "mqtt", properties: [{ name: "heat", type: "INT", accessMode: "ReadOnly" }] },
};

function objects(node: string): object[] {
  const spec = { deviceModelRef: { name: "sensor" }, nodeName: node };
  return [model, pod("web", node), { apiVersion, kind: "Device", metadata: metadata("boiler"), spec }];
}

/** What the node has, which nobody but its own cloud may take. */
function kept(pair: Pair): unknown {
  return {
    containers: pair.containers("status=running"),
    devices: pair.rows("SELECT id FROM device ORDER BY id"),
    objects: pair.rows("SELECT key FROM meta WHERE type IN ('pod', 'device', 'devicemodel') ORDER BY key"),
  };
}

function condition(pair: Pair): Promise<string> {
  const path = "jsonpath={.status.conditions[?(@.type=='CloudDatabaseChanged')].status}";
  return pair.kubectl("get", `node/${pair.node}`, "--ignore-not-found", "-o", path);
}

const isHeld = (pair: Pair, wanted: "True" | "False"): Promise<void> =>
  until(20_000, async () => {
    const said = await condition(pair);
    return said === wanted || `the condition of the Node is "${said}"`;
  });

/** When the node last renewed its lease; empty when it never did. */
function renewed(pair: Pair): Promise<string> {
  return pair.kubectl(
    "get",
    "-n",
    "kube-node-lease",
    `lease/${pair.node}`,
    "-o",
    "jsonpath={.spec.renewTime}",
  );
}

async function loseDatabase(pair: Pair): Promise<void> {
  await pair.killCloud();
  pair.loseCloudDatabase();
  await pair.startCloud();
}

describe.skipIf(!hasPair())("a cloud that lost its database", () => {
  const { step, run } = inOrder();
  let pair: Pair;
  let before: unknown;

  beforeAll(async () => {
    pair = await startPair();
    for (const object of objects(pair.node)) await pair.apply(object);
    await pair.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=30s");
    await until(10_000, () => pair.rows("SELECT id FROM device").length === 1 || "the device is not there");
    before = kept(pair);
    await loseDatabase(pair);
  }, 60_000);

  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
  }, 60_000);

  step("removes no pod and no device from a node, which reports it in its Node and an Event", async () => {
    await isHeld(pair, "True");
    await until(10_000, async () => {
      const of = `involvedObject.name=${pair.node},reason=CloudDatabaseChanged`;
      const said = await pair.kubectl("get", "events", "-A", "--field-selector", of);
      return said.includes(`cloudcore adopt ${pair.node}`) || `no such event in ${said}`;
    });
    // Ten seconds and more: the wipe took three.
    const seen = new Set<string>();
    await until(35_000, async () => {
      seen.add(await renewed(pair));
      return [...seen].filter(Boolean).length > 1 || "the node does not renew its lease";
    });
    expect(kept(pair)).toEqual(before);
  });

  step("is named by the node's own check", async () => {
    const said = await pair.command("edge", "check").catch(String);
    expect(said).toMatch(/fail {2}cloud database .*cloudcore adopt/);
  });

  step("brings the node no pod, also when the node was killed and started again", async () => {
    await pair.apply(pod("foreign", pair.node));
    await pair.killEdge();
    await pair.startEdge();
    await until(20_000, () => pair.edgeLog().includes("rejecting its changes") || "the node does not log it");
    await pair.ready();
    await until(20_000, async () => {
      const at = await pair.kubectl("get", `node/${pair.node}`, "-o", "jsonpath={.metadata.name}");
      return at === pair.node || "the node is not registered";
    });
    expect(kept(pair)).toEqual(before);
  });

  step("is accepted once an operator adopts it in the cloud", async () => {
    expect(await pair.command("cloud", "adopt", pair.node)).toContain("accepts this cloud");
    await pair.kubectl("wait", "--for=condition=Ready", "pod/foreign", "--timeout=30s");
    await until(20_000, () => pair.rows("SELECT id FROM device").length === 0 || "the device is left");
    await until(20_000, () => pair.containers("name=_web_").length === 0 || "the old pod is left");
    await isHeld(pair, "False");
    expect(await pair.command("cloud", "adopt", "--all")).toContain("nothing to adopt");
  });

  step("is accepted once it is adopted on the node", async () => {
    await loseDatabase(pair);
    await isHeld(pair, "True");
    expect(pair.containers("name=_foreign_", "status=running")).toHaveLength(2);
    expect(await pair.command("edge", "adopt")).toContain("adopted the cloud with database");
    await until(20_000, () => pair.containers("name=_foreign_").length === 0 || "the old pod is left");
    await isHeld(pair, "False");
    expect(await pair.command("edge", "adopt")).toContain("nothing to adopt");
  });

  test("keeps every promise, step by step", run, 240_000);
});
