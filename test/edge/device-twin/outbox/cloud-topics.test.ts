import { expect, test } from "bun:test";
import { connectAsync, type MqttClient } from "mqtt";
import type { KubeObject } from "#shared/kube";
import type { ReceivedObject } from "#shared/topics";
import { startNode, type Node } from "#internal/test/edge/device-twin/whole-node.ts";
import { collect } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { userFrom } from "#internal/test/support/edge/over-the-wire.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

function connect({ eventBus }: Node): Promise<MqttClient> {
  return connectAsync(`mqtt://127.0.0.1:${eventBus.mqttPort}`, { reconnectPeriod: 0 });
}

/** A command of a rule in the cloud. */
async function command(node: Node, operation: string, resource: string, content = ""): Promise<void> {
  const port = node.bus.port<never, "user.deliver">("edgehub");
  await port.ask("user.deliver", userFrom({ operation, resource, content }));
}

const uploads = ({ store }: Node): unknown[] =>
  store.outbox.listAfter(0, 1000).map(({ lane, message }) => {
    const { route, content } = JSON.parse(message) as { route: object; content: unknown };
    return { lane, ...route, content };
  });

test("a message on a topic that the cloud subscribed to goes to the cloud once, whatever else it matches", async () => {
  using dir = tempDir();
  await using node = await startNode(dir.path);
  for (const topic of ["rules/#", "shop/user/#"]) await command(node, "subscribe", topic);
  const client = await connect(node);
  await client.publishAsync("rules/x", "1", { qos: 1 });
  await client.publishAsync("shop/user/x", "2", { qos: 1 });
  await command(node, "unsubscribe", "rules/#");
  await client.publishAsync("rules/x", "3", { qos: 1 });
  await client.endAsync();
  const parts = { lane: "upload", source: "bus", group: "user", operation: "upload" };
  expect(uploads(node)).toEqual([
    { ...parts, resource: "rules/x", content: "1" },
    { ...parts, resource: "shop/user/x", content: "2" },
  ]);
});

const rule = {
  apiVersion: "rules.kubeedge.io/v1",
  kind: "Rule",
  metadata: { name: "to-web", namespace: "shop", uid: "u1", resourceVersion: "1" },
  spec: {
    source: "mqtt",
    sourceResource: { topic: "orders/+", node_name: "n" },
    target: "web",
    targetResource: { resource: "http://shop.example/orders" },
  },
};
const endpoint = (name: string, ruleEndpointType: string): KubeObject & { spec: object } => ({
  apiVersion: "rules.kubeedge.io/v1",
  kind: "RuleEndpoint",
  metadata: { name, namespace: "shop", uid: `uid-${name}`, resourceVersion: "1" },
  spec: { ruleEndpointType, properties: {} },
});

/** An object of the cloud for the node. */
async function deliver(
  node: Node,
  object: KubeObject,
  operation: ReceivedObject["operation"] = "create",
): Promise<void> {
  const { kind = "", metadata } = object;
  const { name = "", namespace = "" } = metadata;
  const type = kind.toLowerCase();
  const hub = node.bus.port<never, "object.deliver">("edgehub");
  await hub.ask("object.deliver", { type, namespace, name, operation, object, fromController: true });
}

async function publishOrder(node: Node, text: string): Promise<void> {
  const client = await connect(node);
  await client.publishAsync("shop/orders/7", text, { qos: 1 });
  await client.endAsync();
}

test("a message on the topic of a stored rule goes to the cloud, also after a restart without the cloud, until the rule is deleted", async () => {
  using dir = tempDir();
  {
    await using node = await startNode(dir.path);
    await publishOrder(node, "too early");
    const other = { ...rule.spec, sourceResource: { topic: "orders/+", node_name: "another" } };
    for (const object of [endpoint("mqtt", "eventbus"), endpoint("web", "rest"), { ...rule, spec: other }])
      await deliver(node, object);
    await publishOrder(node, "of another node");
    await deliver(node, { ...rule, metadata: { ...rule.metadata, resourceVersion: "2" } }, "update");
    await publishOrder(node, "1");
  }
  await using node = await startNode(dir.path);
  await publishOrder(node, "2");
  await deliver(node, rule, "delete");
  await publishOrder(node, "too late");
  expect(uploads(node)).toMatchObject([
    { resource: "shop/orders/7", content: "1" },
    { resource: "shop/orders/7", content: "2" },
  ]);
});

test("messages on topics that the cloud subscribed to stay within the limit of the outbox", async () => {
  using dir = tempDir();
  const limit = 200_000;
  await using node = await startNode(dir.path, { outboxLimitBytes: limit });
  await command(node, "subscribe", "rules/#");
  const client = await connect(node);
  for (let n = 0; n < 100; n += 1)
    await client.publishAsync("rules/x", Buffer.alloc(10_000, "x"), { qos: 1 });
  await client.endAsync();
  await node.twin.roomMade();
  expect(node.store.outbox.size().bytes).toBeLessThan(limit * 1.2);
});

test("a message on a topic that the cloud subscribed to is not acknowledged and ends nothing when the disk is full", async () => {
  using dir = tempDir();
  await using node = await startNode(dir.path);
  await command(node, "subscribe", "rules/#");
  const { put } = node.store.outbox;
  Object.assign(node.store.outbox, {
    put: () => {
      throw new Error("database or disk is full");
    },
  });
  const sender = await connect(node);
  sender.publish("rules/x", "0", { qos: 0 });
  sender.publish("rules/x", "1", { qos: 1 });
  await new Promise<void>((resolve) => sender.once("close", () => resolve()));
  Object.assign(node.store.outbox, { put });
  const client = await connect(node);
  await client.publishAsync("rules/x", "2", { qos: 1 });
  await client.endAsync();
  expect(uploads(node)).toMatchObject([{ content: "2" }]);
});

test("a command of the cloud publishes on a topic, and not on one with wildcards", async () => {
  using dir = tempDir();
  await using node = await startNode(dir.path);
  const client = await connect(node);
  const seen = collect(client);
  await client.subscribeAsync("#");
  for (const topic of ["lamps/#", "lamps/+", "lamps/1"]) await command(node, "publish", topic, "on");
  await seen.count(1);
  await client.endAsync();
  expect(seen.all.map(({ topic }) => topic)).toEqual(["lamps/1"]);
});
