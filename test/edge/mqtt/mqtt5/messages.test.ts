import { expect, test } from "bun:test";
import type { IPublishPacket, Packet } from "mqtt-packet";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus, type BusHarness } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { connectPacket5, openRaw, type RawClient } from "#internal/test/edge/mqtt/broker/raw-client.ts";

async function connected(
  edge: BusHarness,
  id: string,
  properties: object = {},
  more: object = {},
): Promise<RawClient> {
  const client = await openRaw(edge.bus.mqttPort, 5);
  client.send(connectPacket5(id, properties, more));
  expect(await client.next()).toMatchObject({ cmd: "connack", reasonCode: 0 });
  return client;
}

async function subscribe(
  client: RawClient,
  topic: string,
  more: object = {},
  properties: object = {},
): Promise<void> {
  client.send({
    cmd: "subscribe",
    messageId: 9,
    properties,
    subscriptions: [{ topic, qos: 1, ...more }],
  });
  expect(await client.next()).toMatchObject({ cmd: "suback", granted: [1] });
}

function message(topic: string, text: string, more: Partial<IPublishPacket> = {}): Packet {
  return { cmd: "publish", topic, payload: text, qos: 0, dup: false, retain: false, ...more };
}

test("broker passes the properties of a message on in their order, whatever QoS", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using reader = await connected(edge, "reader");
  await subscribe(reader, "a");
  const got: Buffer[] = [];
  reader.socket.on("data", (bytes) => got.push(bytes));
  using writer = await connected(edge, "writer");
  // User properties x=1, y=2, x=3, and between them the others.
  const properties = Buffer.from(
    "2600017800013103000474657874260001790001320101080005726561645f0900020102260001780001332600".slice(0, -4),
    "hex",
  );
  const body = Buffer.concat([
    Buffer.from([0, 1, 97, properties.length]),
    properties,
    Buffer.from("payload"),
  ]);
  writer.socket.write(Buffer.concat([Buffer.from([0x30, body.length]), body]));
  await reader.next();
  expect(Buffer.concat(got).subarray(2)).toEqual(body);
});

test("broker counts the time that a message is valid, and does not deliver one that has expired", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  {
    using away = await connected(edge, "away", { sessionExpiryInterval: 1000 }, { clean: false });
    await subscribe(away, "a");
  }
  using writer = await connected(edge, "writer");
  writer.send(
    message("a", "short", { qos: 1, messageId: 1, properties: { messageExpiryInterval: 1 } }),
    message("a", "long", { qos: 1, messageId: 2, properties: { messageExpiryInterval: 100 } }),
    message("r", "kept", { qos: 1, messageId: 3, retain: true, properties: { messageExpiryInterval: 1 } }),
  );
  for (let n = 0; n < 3; n += 1) await writer.next();
  await Bun.sleep(2100);
  using back = await connected(edge, "away", { sessionExpiryInterval: 1000 }, { clean: false });
  const first = await back.next();
  expect(first).toMatchObject({ cmd: "publish", payload: Buffer.from("long") });
  const left = "properties" in first ? (first.properties as { messageExpiryInterval?: number }) : {};
  expect(left.messageExpiryInterval).toBeWithin(95, 99);
  await subscribe(back, "r");
  back.send({ cmd: "pingreq" });
  expect((await back.next()).cmd).toBe("pingresp");
  expect(edge.store.mqttSessions.retained().some(({ topic }) => topic === "r")).toBe(false);
});

test("broker understands topic aliases and gives them", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using reader = await connected(edge, "reader", { topicAliasMaximum: 1 });
  await subscribe(reader, "room/+");
  using writer = await connected(edge, "writer");
  writer.send(
    message("room/kitchen", "1", { properties: { topicAlias: 3 } }),
    message("", "2", { properties: { topicAlias: 3 } }),
    message("room/hall", "3", { properties: { topicAlias: 3 } }),
    message("", "4", { qos: 1, messageId: 1, properties: { topicAlias: 3 } }),
    message("room/kitchen", "5"),
  );
  const got = [];
  for (let n = 0; n < 5; n += 1) got.push(await reader.next());
  const seen = got.map((packet) =>
    packet.cmd === "publish" ? [packet.topic, String(packet.payload), packet.properties?.topicAlias] : [],
  );
  expect(seen).toEqual([
    ["room/kitchen", "1", 1],
    ["", "2", 1],
    ["room/hall", "3", undefined],
    ["room/hall", "4", undefined],
    ["", "5", 1],
  ]);
});

test("broker sends no more unacknowledged messages than the client takes, and the rest in order", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  for (const clean of [true, false]) {
    const lasting = clean ? {} : { sessionExpiryInterval: 60 };
    using reader = await connected(edge, `reader ${clean}`, { receiveMaximum: 2, ...lasting }, { clean });
    await subscribe(reader, "a");
    using writer = await connected(edge, "writer");
    for (let n = 1; n <= 10; n += 1) writer.send(message("a", String(n), { qos: 1, messageId: n }));
    for (let n = 1; n <= 10; n += 1) await writer.next();
    const texts: string[] = [];
    for (let n = 0; n < 5; n += 1) {
      const pair = [await reader.next(), await reader.next()] as IPublishPacket[];
      texts.push(...pair.map(({ payload }) => String(payload)));
      // Nothing comes before the ping's answer.
      reader.send({ cmd: "pingreq" });
      expect((await reader.next()).cmd).toBe("pingresp");
      for (const { messageId } of pair) reader.send({ cmd: "puback", messageId: messageId ?? 0 });
    }
    expect(texts).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
  }
});

test("broker does not send packets that are larger than the client takes", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using reader = await connected(edge, "reader", { maximumPacketSize: 50 });
  await subscribe(reader, "a");
  using writer = await connected(edge, "writer");
  writer.send(
    message("a", "x".repeat(60)),
    message("a", "y".repeat(60), { qos: 1, messageId: 1 }),
    message("a", "z", { qos: 1, messageId: 2 }),
  );
  expect(await reader.next()).toMatchObject({ cmd: "publish", payload: Buffer.from("z") });
});

test("broker honors No Local, Retain As Published, Retain Handling and identifiers", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using writer = await connected(edge, "writer");
  writer.send(message("a/1", "old", { retain: true, qos: 1, messageId: 1 }));
  await writer.next();
  using reader = await connected(edge, "reader");
  await subscribe(reader, "a/+", { nl: true, rap: true, rh: 2 }, { subscriptionIdentifier: 7 });
  await subscribe(reader, "a/#", { rh: 1 }, { subscriptionIdentifier: 268_435_455 });
  expect(await reader.next()).toMatchObject({
    topic: "a/1",
    retain: true,
    properties: { subscriptionIdentifier: 268_435_455 },
  });
  await subscribe(reader, "a/#", { rh: 1 }, { subscriptionIdentifier: 268_435_455 });
  reader.send(message("a/2", "own"));
  expect(await reader.next()).toMatchObject({
    topic: "a/2",
    properties: { subscriptionIdentifier: 268_435_455 },
  });
  writer.send(message("a/3", "new", { retain: true }));
  const last = await reader.next();
  expect(last).toMatchObject({ topic: "a/3", retain: true });
  const identifiers = "properties" in last ? last.properties : undefined;
  expect(new Set(Object.values(identifiers ?? {}).flat())).toEqual(new Set([7, 268_435_455]));
});

test("one member of a group gets a message, in turn, and one that is away only if nobody else is there", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const lasting = { sessionExpiryInterval: 60 };
  {
    using away = await connected(edge, "away", lasting, { clean: false });
    await subscribe(away, "$share/g/a/+");
  }
  using writer = await connected(edge, "writer");
  const publish = async (text: string): Promise<void> => {
    writer.send(message("a/x", text, { qos: 1, messageId: 1 }));
    expect(await writer.next()).toMatchObject({ cmd: "puback", reasonCode: 0 });
  };
  const taken = new Map<string, string[]>();
  {
    using one = await connected(edge, "one");
    using two = await connected(edge, "two");
    for (const member of [one, two]) await subscribe(member, "$share/g/a/+");
    for (let n = 0; n < 6; n += 1) await publish(String(n));
    for (const [name, member] of [
      ["one", one],
      ["two", two],
    ] as const) {
      const got = [await member.next(), await member.next(), await member.next()] as IPublishPacket[];
      taken.set(
        name,
        got.map(({ payload }) => String(payload)),
      );
    }
    for (const member of [one, two]) {
      member.send({ cmd: "disconnect" });
      await member.closed;
    }
  }
  expect([...(taken.get("one") ?? []), ...(taken.get("two") ?? [])].toSorted()).toEqual([
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
  ]);
  await publish("later");
  using back = await connected(edge, "away", lasting, { clean: false });
  expect(await back.next()).toMatchObject({ topic: "a/x", payload: Buffer.from("later") });
});

test("messages of devices of MQTT 5 reach the modules of edgecore, and are acknowledged when they are stored", async () => {
  using dir = tempDir();
  const safe = Promise.withResolvers<void>();
  await using edge = await startBus(dir.path, { receive: () => safe.promise });
  using device = await connected(edge, "d");
  const topic = "$hw/events/device/d/twin/update";
  device.send(message(topic, "{}", { qos: 1, messageId: 5, properties: { topicAlias: 1 } }), {
    cmd: "pingreq",
  });
  expect((await device.next()).cmd).toBe("pingresp");
  safe.resolve();
  expect(await device.next()).toMatchObject({ cmd: "puback", messageId: 5, reasonCode: 0 });
  expect(edge.received.map((each) => each.topic)).toEqual([topic]);
});
