import { expect, test } from "bun:test";
import type { ISubscription } from "mqtt-packet";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "#internal/test/edge/eventbus/harness.ts";
import { connectPacket, openRaw, publishPacket, type RawClient } from "./raw-client.ts";

/** @returns the codes it is answered with */
async function subscribe(client: RawClient, subscriptions: ISubscription[], messageId = 1): Promise<unknown> {
  client.send({ cmd: "subscribe", messageId, subscriptions });
  const answer = await client.next();
  return "granted" in answer ? answer.granted : answer;
}

test.each([true, false])(
  "broker answers a filter that comes twice twice, and keeps what was asked last (clean: %p)",
  async (clean) => {
    using dir = tempDir();
    await using edge = await startBus(dir.path);
    using client = await openRaw(edge.bus.mqttPort);
    client.send(connectPacket("c", { clean }));
    await client.next();
    const asked = [
      { topic: "a", qos: 2 },
      { topic: "b", qos: 0 },
      { topic: "a", qos: 1 },
    ] as const;
    expect(await subscribe(client, [...asked])).toEqual([2, 0, 1]);
    client.send(publishPacket("a", 1, 7));
    const got = [await client.next(), await client.next()].find(({ cmd }) => cmd === "publish");
    expect(got).toMatchObject({ topic: "a", qos: 1 });
  },
);

test("broker answers what is subscribed and published in one piece in order", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.send(
    connectPacket("c", { clean: false }),
    publishPacket("$hw/events/device/d/twin/update", 1, 1),
    { cmd: "subscribe", messageId: 2, subscriptions: [{ topic: "x", qos: 0 }] },
    { cmd: "unsubscribe", messageId: 3, unsubscriptions: ["x"] },
    publishPacket("y", 1, 4),
  );
  const answers = [];
  for (let n = 0; n < 5; n += 1) answers.push((await client.next()).cmd);
  expect(answers).toEqual(["connack", "puback", "suback", "unsuback", "puback"]);
  expect(edge.store.mqttSessions.subscriptions().map(({ topic }) => topic)).toEqual(["$SYS/session"]);
});

/** Filters that differ in their first levels and have as many as there may be. */
const deepFilters = (count: number): ISubscription[] =>
  Array.from({ length: count }, (_, n) => ({ topic: `${n}${"/+".repeat(199)}`, qos: 1 as const }));

test("broker refuses a client subscriptions that need too much memory, and says so", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.send(connectPacket("c", { clean: false }));
  await client.next();
  const codes = await subscribe(client, deepFilters(700));
  const granted = Array.isArray(codes) ? codes.filter((code) => code === 1).length : 0;
  expect(granted).toBeWithin(500, 650);
  expect(edge.store.mqttSessions.subscriptions()).toHaveLength(granted + 1);
  expect(edge.log.lines.some((line) => line.includes("need too much memory"))).toBe(true);
  expect(await subscribe(client, [{ topic: "0/+".padEnd(399, "/+"), qos: 0 }])).toEqual([0]);
});

test("broker lets a client have ten thousand ordinary subscriptions", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { maxPacketBytes: 1024 * 1024 } });
  using client = await openRaw(edge.bus.mqttPort);
  client.send(connectPacket("c"));
  await client.next();
  const ordinary = Array.from({ length: 10_000 }, (_, n) => ({
    topic: `building/floor/+/sensor-${n}`.padEnd(30, "x/"),
    qos: 0 as const,
  }));
  expect(await subscribe(client, ordinary)).toEqual(ordinary.map(() => 0));
  expect(await subscribe(client, [{ topic: "one/more", qos: 0 }])).toEqual([128]);
});

test("broker leaves room for a few subscriptions of others, and counts those of sessions that are away", async () => {
  using dir = tempDir();
  const database = `${dir.path}/edge.db`;
  {
    await using edge = await startBus(dir.path, { database });
    for (let n = 0; n < 6; n += 1) {
      using greedy = await openRaw(edge.bus.mqttPort);
      greedy.send(connectPacket(`greedy-${n}`, { clean: false }));
      await greedy.next();
      await subscribe(greedy, deepFilters(700));
    }
  }
  await using edge = await startBus(dir.path, { database });
  using late = await openRaw(edge.bus.mqttPort);
  late.send(connectPacket("late"));
  await late.next();
  expect(await subscribe(late, [{ topic: "a/b", qos: 0 }])).toEqual([0]);
  const codes = await subscribe(late, deepFilters(100));
  expect(codes).toEqual(expect.arrayContaining([128]));
  expect(edge.store.mqttSessions.subscriptions().length).toBeLessThan(2500);
});
