import { expect, test } from "bun:test";
import type { ISubscription } from "mqtt-packet";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import {
  connectPacket,
  openRaw,
  publishPacket,
  type RawClient,
} from "#internal/test/edge/mqtt/broker/raw-client.ts";

/** @returns the codes it is answered with */
async function subscribe(client: RawClient, subscriptions: ISubscription[], messageId = 1): Promise<unknown> {
  client.send({ cmd: "subscribe", messageId, subscriptions });
  const answer = await client.next();
  return "granted" in answer ? answer.granted : answer;
}

test.each([true, false])(
  "broker acknowledges a repeated filter twice and grants the last QoS (clean: %p)",
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

test("broker acknowledges subscriptions and publications of one piece in order", async () => {
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

test("broker refuses a client subscriptions that need too much memory, and logs it", async () => {
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

test("broker grants a client ten thousand ordinary subscriptions", async () => {
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

test("broker reserves room for clients with few subscriptions, and counts those of offline sessions", async () => {
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

const persistent = { clean: false } as const;

test.each([0, 1, 2] as const)(
  "a subscription is in effect for what the client publishes right behind it (QoS %i, persistent session)",
  async (qos) => {
    using dir = tempDir();
    await using edge = await startBus(dir.path);
    using client = await openRaw(edge.bus.mqttPort);
    client.send(connectPacket("c", persistent));
    await client.next();
    const subscriptions = [{ topic: "x", qos: 2 as const }];
    client.send({ cmd: "subscribe", messageId: 1, subscriptions }, publishPacket("x", qos, 2));
    const got = [];
    for (let n = 0; n < (qos === 0 ? 2 : 3); n += 1) got.push((await client.next()).cmd);
    expect(got).toContain("publish");
  },
);

test("an unsubscribed filter is not in effect for what the client publishes right behind it, nor later", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.send(connectPacket("c", persistent));
  client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "x", qos: 1 }] });
  for (let n = 0; n < 2; n += 1) await client.next();
  client.send({ cmd: "unsubscribe", messageId: 2, unsubscriptions: ["x"] }, publishPacket("x", 1, 3));
  client.send({ cmd: "subscribe", messageId: 4, subscriptions: [{ topic: "other", qos: 1 }] });
  const got = [];
  for (let n = 0; n < 3; n += 1) got.push((await client.next()).cmd);
  expect(got).toEqual(["unsuback", "puback", "suback"]);
  client.send({ cmd: "pingreq" });
  expect((await client.next()).cmd).toBe("pingresp");
});

test("a subscription behind a slow message does not restore a session that was ended meanwhile", async () => {
  using dir = tempDir();
  const storing = Promise.withResolvers<void>();
  await using edge = await startBus(dir.path, { receive: () => storing.promise });
  using old = await openRaw(edge.bus.mqttPort);
  old.send(connectPacket("c", persistent));
  await old.next();
  const subscriptions = [{ topic: "y", qos: 1 as const }];
  const slow = publishPacket("$hw/events/device/d/twin/update", 1, 1);
  old.send(slow, { cmd: "subscribe", messageId: 2, subscriptions });
  await edge.connect({ clientId: "other" });
  using next = await openRaw(edge.bus.mqttPort);
  next.send(connectPacket("c", { clean: true }));
  await next.next();
  storing.resolve();
  await old.closed;
  next.send({ cmd: "pingreq" });
  await next.next();
  expect(edge.store.mqttSessions.subscriptions()).toEqual([]);
});
