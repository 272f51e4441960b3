import { expect, test } from "bun:test";
import type { MqttClient } from "mqtt";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { connectPacket, openRaw, type RawClient } from "#internal/test/edge/mqtt/broker/raw-client.ts";

async function retain(writer: MqttClient, { total, bytes }: { total: number; bytes: number }): Promise<void> {
  const payload = "x".repeat(bytes);
  const put = (n: number): Promise<unknown> =>
    writer.publishAsync(`r/${n}`, payload, { qos: 1, retain: true });
  for (let from = 0; from < total; from += 500)
    await Promise.all(Array.from({ length: Math.min(500, total - from) }, (_, n) => put(from + n)));
}

async function subscribe(client: RawClient, { clean, topic }: { clean: boolean; topic: string }) {
  client.send(connectPacket("reader", { clean }));
  await client.next();
  client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 1 }] });
  expect((await client.next()).cmd).toBe("suback");
}

test.each([
  [true, 12_000, 20],
  [false, 12_000, 20],
  [false, 200, 100_000],
] as const)(
  "broker sends (clean: %p) all %i retained messages of %i bytes to a client that acknowledges slowly",
  async (clean, total, bytes) => {
    using dir = tempDir();
    await using edge = await startBus(dir.path);
    await retain(await edge.connect(), { total, bytes });
    using client = await openRaw(edge.bus.mqttPort);
    await subscribe(client, { clean, topic: "r/#" });
    const topics = new Set<string>();
    while (topics.size < total) {
      const packet = await client.next();
      if (packet.cmd !== "publish") continue;
      topics.add(packet.topic);
      setTimeout(() => client.send({ cmd: "puback", messageId: packet.messageId ?? 0 }), 60);
    }
    expect(topics.size).toBe(total);
  },
  20_000,
);

test("broker releases a client that disconnects with unacknowledged retained messages", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const writer = await edge.connect();
  await retain(writer, { total: 1500, bytes: 20 });
  {
    using client = await openRaw(edge.bus.mqttPort);
    await subscribe(client, { clean: true, topic: "r/#" });
    for (let n = 0; n < 900; n += 1) expect((await client.next()).cmd).toBe("publish");
    client.send({ cmd: "pingreq" });
    let more = 0;
    while ((await client.next()).cmd === "publish") more += 1;
    expect(more).toBeLessThanOrEqual(100);
  }
  using next = await openRaw(edge.bus.mqttPort);
  await subscribe(next, { clean: true, topic: "r/7" });
  expect(await next.next()).toMatchObject({ cmd: "publish", topic: "r/7", retain: true });
});

test("broker closes the connection of a persistent session whose retained messages cannot be stored", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  await retain(await edge.connect(), { total: 1, bytes: 20 });
  const { transaction } = edge.store;
  {
    using client = await openRaw(edge.bus.mqttPort);
    client.send(connectPacket("reader", { clean: false }));
    await client.next();
    let left = 1;
    const refuse = (work: () => unknown): unknown => {
      if (left === 0) throw new Error("database or disk is full");
      left -= 1;
      return transaction(work);
    };
    Object.assign(edge.store, { transaction: refuse });
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "r/#", qos: 1 }] });
    expect((await client.next()).cmd).toBe("suback");
    await client.closed;
  }
  Object.assign(edge.store, { transaction });
  using again = await openRaw(edge.bus.mqttPort);
  await subscribe(again, { clean: false, topic: "r/#" });
  expect(await again.next()).toMatchObject({ cmd: "publish", topic: "r/0", retain: true });
});
