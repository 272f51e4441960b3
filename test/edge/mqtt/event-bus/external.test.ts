import { expect, test } from "bun:test";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { Aedes } from "aedes";
import { connectAsync } from "mqtt";
import { freePort, hasMosquitto, startMosquitto } from "#internal/test/support/machine/mosquitto.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { RuleMeaning } from "#shared/rules";
import type { MqttMessage } from "#shared/topics";
import { collect, startBus } from "./harness.ts";
import { externalAt } from "./scripted-broker.ts";
import { until } from "#internal/test/edge/mqtt/until.ts";

const update = "$hw/events/device/d1/twin/update";

const mosquitto = hasMosquitto();

test("event bus serves devices of a broker by aedes", async () => {
  using dir = tempDir();
  await using stack = new AsyncDisposableStack();
  const aedes = await Aedes.createBroker();
  const server = createServer(aedes.handle).listen(0, "127.0.0.1");
  stack.defer(async () => {
    await new Promise<void>((resolve) => aedes.close(resolve));
    await new Promise((resolve) => server.close(resolve));
  });
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  await using edge = await startBus(dir.path, { broker: undefined, external: externalAt(port) });
  await until(() => edge.bus.externalConnected());
  const device = await connectAsync(`mqtt://127.0.0.1:${port}`);
  const seen = collect(device);
  await device.subscribeAsync(`${update}/result`, { qos: 1 });
  await until(async () => {
    await device.publishAsync(update, "{}", { qos: 1 });
    return edge.received.length > 0;
  });
  await edge.publish({ topic: `${update}/result`, payload: Buffer.from("done") });
  expect((await seen.count(1)).map(({ text }) => text)).toEqual(["done"]);
  await device.endAsync();
});

test.skipIf(!mosquitto)("event bus serves devices of an external broker that starts later", async () => {
  using dir = tempDir();
  const port = await freePort();
  await using edge = await startBus(dir.path, { broker: undefined, external: externalAt(port) });
  expect(edge.bus.externalConnected()).toBe(false);
  await using _broker = await startMosquitto(dir.path, port);
  await until(() => edge.bus.externalConnected());

  const device = await connectAsync(`mqtt://127.0.0.1:${port}`);
  let answer = "";
  device.on("message", (_, payload) => (answer = payload.toString()));
  await device.subscribeAsync(`${update}/result`, { qos: 1 });
  // Repeated until the subscription is there.
  await until(async () => {
    await device.publishAsync(update, "{}", { qos: 1 });
    return edge.received.length > 0;
  });
  await edge.publish({ topic: `${update}/result`, payload: Buffer.from("done") });
  await until(() => answer === "done");
  await device.endAsync();
});

test.skipIf(!mosquitto)(
  "event bus keeps messages for an external broker that is down, in order, over a restart",
  async () => {
    using dir = tempDir();
    const port = await freePort();
    const external = externalAt(port);
    const say = (n: number): MqttMessage => ({ topic: "said", payload: Buffer.from(String(n)) });
    {
      await using edge = await startBus(dir.path, { broker: undefined, external });
      for (let n = 0; n < 300; n += 1) await edge.publish(say(n));
      await until(() => edge.store.mqttOutgoing.size().entries === 300);
    }
    await using _broker = await startMosquitto(dir.path, port);
    const reader = await connectAsync(`mqtt://127.0.0.1:${port}`);
    const seen = collect(reader);
    await reader.subscribeAsync("said", { qos: 1 });
    await using edge = await startBus(dir.path, { broker: undefined, external });
    for (let n = 300; n < 600; n += 1) await edge.publish(say(n));
    expect((await seen.count(600)).map(({ text }) => Number(text))).toEqual(
      Array.from({ length: 600 }, (_, n) => n),
    );
    await until(() => edge.store.mqttOutgoing.size().entries === 0);
    await reader.endAsync();
  },
);

test.skipIf(!mosquitto)(
  "event bus leaves a message with the external broker until it could be stored",
  async () => {
    using dir = tempDir();
    const port = await freePort();
    let full = true;
    await using _broker = await startMosquitto(dir.path, port);
    await using edge = await startBus(dir.path, {
      broker: undefined,
      external: externalAt(port),
      receive: async () => {
        if (full) throw new Error("disk is full");
      },
    });
    await until(() => edge.bus.externalConnected());
    const device = await connectAsync(`mqtt://127.0.0.1:${port}`);
    await until(() => edge.bus.externalConnected());
    await device.publishAsync(update, "precious", { qos: 1 });
    await until(() => edge.received.length >= 2);
    full = false;
    const tries = edge.received.length;
    await until(() => edge.received.length > tries);
    const settled = edge.received.length;
    await device.publishAsync(update, "next", { qos: 1 });
    await until(() => edge.received.length > settled);
    expect(edge.received.map(({ payload }) => Buffer.from(payload).toString()).slice(-2)).toEqual([
      "precious",
      "next",
    ]);
    await device.endAsync();
  },
);

test.skipIf(!mosquitto)(
  "event bus stores messages of an external broker concurrently and acknowledges none before it is stored",
  async () => {
    using dir = tempDir();
    const port = await freePort();
    const waiting: (() => void)[] = [];
    let held = true;
    await using _broker = await startMosquitto(dir.path, port);
    const options = {
      broker: undefined,
      external: externalAt(port),
      receive: () => (held ? new Promise<void>((resolve) => waiting.push(resolve)) : Promise.resolve()),
    };
    const device = await connectAsync(`mqtt://127.0.0.1:${port}`);
    {
      await using edge = await startBus(dir.path, options);
      await until(() => edge.bus.externalConnected());
      for (let n = 0; n < 15; n += 1) await device.publishAsync(update, String(n), { qos: 1 });
      await until(() => waiting.length === 15);
      for (const resolve of waiting.slice(0, 5)) resolve();
      // The sixth is not safe: nothing after it is acknowledged, although it is.
      for (const resolve of waiting.slice(6)) resolve();
      await new Promise((resolve) => setImmediate(resolve));
    }
    held = false;
    await using edge = await startBus(dir.path, options);
    await until(() => edge.received.length === 10);
    expect(edge.received.map(({ payload }) => Number(Buffer.from(payload).toString()))).toEqual(
      Array.from({ length: 10 }, (_, n) => n + 5),
    );
    await device.endAsync();
  },
);

test.skipIf(!mosquitto)("event bus ignores retained requests of an external broker", async () => {
  using dir = tempDir();
  const port = await freePort();
  await using _broker = await startMosquitto(dir.path, port);
  const device = await connectAsync(`mqtt://127.0.0.1:${port}`);
  await device.publishAsync(update, "old", { qos: 1, retain: true });
  const options = { broker: undefined, external: externalAt(port) };
  for (const text of ["first", "second"]) {
    await using edge = await startBus(dir.path, options);
    await until(() => edge.bus.externalConnected());
    await until(() => edge.store.metas.find("mqttsubscriptions/external") !== undefined);
    await device.publishAsync(update, text, { qos: 1 });
    await until(() => edge.received.length > 0);
    expect(edge.received.map(({ payload }) => Buffer.from(payload).toString())).toEqual([text]);
  }
  await device.endAsync();
});

test("event bus logs once that an external broker stays down", async () => {
  using dir = tempDir();
  const port = await freePort();
  await using edge = await startBus(dir.path, { broker: undefined, external: externalAt(port) });
  const failures = (): string[] =>
    edge.log.lines.filter((line) => line.includes("external MQTT broker") && line.includes("ECONNREFUSED"));
  await until(() => failures().length >= 3);
  expect(failures().filter((line) => line.includes('"level":"warn"'))).toHaveLength(1);
});

test.skipIf(!mosquitto)(
  "event bus subscribes at the external broker to topics of rules, and unsubscribes",
  async () => {
    using dir = tempDir();
    const port = await freePort();
    await using _broker = await startMosquitto(dir.path, port);
    const rule: RuleMeaning = {
      key: "shop/to-web",
      namespace: "shop",
      name: "to-web",
      source: { kind: "eventbus", filter: "shop/orders/+", nodes: { by: "name", name: "ke-edge" } },
      target: { kind: "rest", url: "http://shop.example/orders" },
      timeoutMs: undefined,
    };
    const external = externalAt(port);
    await using edge = await startBus(dir.path, { broker: undefined, external, rules: [rule] });
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`);
    const order = async (): Promise<number> => {
      await client.publishAsync("shop/orders/1", "x", { qos: 1 });
      return edge.received.length;
    };
    // Repeated until the subscription is there.
    await until(async () => (await order()) > 0);
    expect(edge.received[0]).toMatchObject({ topic: "shop/orders/1", upload: true });
    await edge.setRules([]);
    await until(() => !subscriptionsOf(edge).includes("shop/orders/+"));
    await client.endAsync();
  },
);

/** Filters that the broker has confirmed. */
function subscriptionsOf({ store }: Awaited<ReturnType<typeof startBus>>): string {
  return store.metas
    .listByType("mqttsubscriptions")
    .map(({ value }) => value)
    .join();
}

test("event bus speaks MQTT 5 with an external broker: the session stays, and refused messages stop nothing", async () => {
  using dir = tempDir();
  const users = [
    { name: "node", passwordHash: await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 }) },
  ];
  const acl = [
    { topic: "secret", access: "deny" },
    { topic: "#", access: "readwrite" },
    { topic: "$hw/#", access: "readwrite" },
  ] as const;
  // Another edgecore is the broker, one that takes three messages at a time.
  await using other = await startBus(dir.path, {
    broker: { users, acl, receiveMaximum: 3 },
    database: join(dir.path, "other.db"),
  });
  const external = { ...externalAt(other.bus.mqttPort ?? 0, 5), username: "node", password: "secret" };
  const reader = await other.connect();
  const seen = collect(reader);
  await reader.subscribeAsync("said/#", { qos: 1 });
  {
    await using edge = await startBus(dir.path, { broker: undefined, external });
    await until(() => edge.bus.externalConnected());
    await edge.publish({ topic: "secret", payload: Buffer.from("no") });
    for (let n = 0; n < 50; n += 1)
      await edge.publish({ topic: `said/${n}`, payload: Buffer.from(String(n)) });
    expect((await seen.count(50)).map(({ text }) => Number(text))).toEqual(
      Array.from({ length: 50 }, (_, n) => n),
    );
    await until(() => edge.store.mqttOutgoing.size().entries === 0);
    await until(() => other.store.mqttSessions.subscriptions().length > 5);
  }
  // A message of QoS 1 waits in the session.
  const device = await other.connect();
  await device.publishAsync(update, "{}", { qos: 1 });
  await using edge = await startBus(dir.path, { broker: undefined, external });
  await until(() => edge.received.length > 0);
  expect(edge.received.map(({ topic }) => topic)).toEqual([update]);
});
