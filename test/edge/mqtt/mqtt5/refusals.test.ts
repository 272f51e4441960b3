import { expect, test } from "bun:test";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus, type BusHarness } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import {
  connectPacket5,
  openRaw,
  publishPacket,
  type RawClient,
} from "#internal/test/edge/mqtt/broker/raw-client.ts";

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex");

async function connected(edge: BusHarness, properties: object = {}): Promise<RawClient> {
  const client = await openRaw(edge.bus.mqttPort, 5);
  client.send(connectPacket5("c", properties));
  expect(await client.next()).toMatchObject({ cmd: "connack", reasonCode: 0 });
  return client;
}

const [malformed, protocolError, receiveMaximum, aliasInvalid, tooLarge, quota] = [
  0x81, 0x82, 0x93, 0x94, 0x95, 0x97,
];

/** What a client sends, and the reason of the DISCONNECT it gets. */
const wrong: Readonly<Record<string, readonly [string, number]>> = {
  "payload format twice": ["30 08 00 01 61 04 01 01 01 01", protocolError],
  "payload format 2": ["30 06 00 01 61 02 01 02", protocolError],
  "message expiry twice": ["30 0e 00 01 61 0a 02 00 00 00 01 02 00 00 00 01", protocolError],
  "unknown property": ["30 06 00 01 61 02 7f 00", malformed],
  "property of a CONNECT in a PUBLISH": ["30 07 00 01 61 03 21 00 01", malformed],
  "subscription identifier in a PUBLISH": ["30 06 00 01 61 02 0b 01", malformed],
  "properties beyond the packet": ["30 05 00 01 61 7f 01", malformed],
  "property cut off": ["30 05 00 01 61 01 02", malformed],
  "property length of five bytes": ["30 09 00 01 61 ff ff ff ff 01 00", malformed],
  "response topic with wildcards": ["30 08 00 01 61 04 08 00 01 23", protocolError],
  "user property that is not UTF-8": ["30 0b 00 01 61 07 26 00 01 ff 00 01 61", malformed],
  "topic alias 0": ["30 07 00 01 61 03 23 00 00", aliasInvalid],
  "topic alias beyond the maximum": ["30 07 00 01 61 03 23 00 0b", aliasInvalid],
  "topic alias twice": ["30 0a 00 01 61 06 23 00 01 23 00 02", protocolError],
  "topic alias that stands for nothing": ["30 06 00 00 03 23 00 01", protocolError],
  "no topic and no alias": ["30 03 00 00 00", protocolError],
  "subscription identifier 0": ["82 09 00 01 02 0b 00 00 01 61 00", protocolError],
  "subscription identifier twice": ["82 0b 00 01 04 0b 01 0b 02 00 01 61 00", protocolError],
  "subscription identifier of five bytes": ["82 0d 00 01 06 0b ff ff ff ff 01 00 01 61 00", malformed],
  "retain handling 3": ["82 07 00 01 00 00 01 61 30", malformed],
  "reserved subscription options": ["82 07 00 01 00 00 01 61 40", malformed],
  "No Local for a group": ["82 10 00 01 00 00 0a 24 73 68 61 72 65 2f 67 2f 61 04", protocolError],
  "group without a filter": ["82 0e 00 01 00 00 08 24 73 68 61 72 65 2f 67 00", malformed],
  "group with a wildcard": ["82 10 00 01 00 00 0a 24 73 68 61 72 65 2f 2b 2f 61 00", malformed],
  AUTH: ["f0 00", protocolError],
  "AUTH with a method": ["f0 07 18 05 15 00 02 78 79", protocolError],
  "second CONNECT": ["10 0e 00 04 4d 51 54 54 05 02 00 00 00 00 01 63", protocolError],
  "PUBACK with an unknown reason": ["40 03 00 01 55", protocolError],
  "SUBACK from a client": ["90 04 00 01 00 00", protocolError],
  "DISCONNECT with a reason of servers": ["e0 01 8b", protocolError],
  "session expiry after none in CONNECT": ["e0 07 00 05 11 00 00 00 0a", protocolError],
  "packet larger than the maximum": ["30 81 80 40 00", tooLarge],
};

test.each(Object.entries(wrong))("broker disconnects a client that sends %s", async (_, [hex, reason]) => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await connected(edge);
  client.socket.write(bytes(hex));
  expect(await client.next()).toMatchObject({ cmd: "disconnect", reasonCode: reason });
  await client.closed;
});

test("broker disconnects a client with more unacknowledged messages than it may have", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { receiveMaximum: 3 } });
  using client = await openRaw(edge.bus.mqttPort, 5);
  client.send(connectPacket5("c"));
  expect(await client.next()).toMatchObject({ properties: { receiveMaximum: 3 } });
  for (let messageId = 1; messageId <= 4; messageId += 1)
    client.send({ cmd: "publish", topic: "a", payload: "x", qos: 2, messageId, dup: false, retain: false });
  let answer = await client.next();
  while (answer.cmd === "pubrec") answer = await client.next();
  expect(answer).toMatchObject({ cmd: "disconnect", reasonCode: receiveMaximum });
});

test("what a client had unacknowledged before it came back does not count", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { receiveMaximum: 3 } });
  const connect = async (): Promise<RawClient> => {
    const client = await openRaw(edge.bus.mqttPort, 5);
    client.send(connectPacket5("c", { sessionExpiryInterval: 60 }, { clean: false }));
    expect(await client.next()).toMatchObject({ cmd: "connack", reasonCode: 0 });
    return client;
  };
  const publish = async (client: RawClient, ids: readonly number[], dup = false): Promise<void> => {
    client.send(...ids.map((messageId) => publishPacket("a", 2, messageId, dup)));
    for (const messageId of ids)
      expect(await client.next()).toMatchObject({ cmd: "pubrec", messageId, reasonCode: 0 });
  };
  {
    using client = await connect();
    await publish(client, [1, 2, 3]);
  }
  using client = await connect();
  client.send({ cmd: "pubrel", messageId: 1 }, publishPacket("a", 2, 4));
  expect(await client.next()).toMatchObject({ cmd: "pubcomp", messageId: 1 });
  expect(await client.next()).toMatchObject({ cmd: "pubrec", messageId: 4, reasonCode: 0 });
  await publish(client, [2], true);
  await publish(client, [5]);
  client.send({ cmd: "pubrel", messageId: 2 });
  expect(await client.next()).toMatchObject({ cmd: "pubcomp", messageId: 2 });
  await publish(client, [6]);
  client.send(publishPacket("a", 2, 7));
  expect(await client.next()).toMatchObject({ cmd: "disconnect", reasonCode: receiveMaximum });
});

test("broker disconnects a client whose topic aliases take too much memory", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await connected(edge);
  const topic = "t".repeat(9000);
  for (const topicAlias of [1, 2])
    client.send({
      cmd: "publish",
      topic: `${topic}${topicAlias}`,
      payload: "x",
      qos: 0,
      dup: false,
      retain: false,
      properties: { topicAlias },
    });
  expect(await client.next()).toMatchObject({ cmd: "disconnect", reasonCode: quota });
});

/** CONNECT flags and properties, and the reason of the CONNACK; without one the connection is closed. */
const refused: Readonly<Record<string, readonly [object, object, number]>> = {
  "enhanced authentication": [{ authenticationMethod: "SCRAM-SHA-256" }, {}, 0x8c],
  "a client id of 300 characters": [{}, { clientId: "c".repeat(300) }, 0x85],
};

test.each(Object.entries(refused))("broker refuses %s", async (_, [properties, more, reasonCode]) => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort, 5);
  client.send(connectPacket5("c", properties, more));
  expect(await client.next()).toMatchObject({ cmd: "connack", reasonCode });
  await client.closed;
});

test("broker tells a client that it may not connect, publish and subscribe, and why", async () => {
  using dir = tempDir();
  const passwordHash = await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 });
  await using edge = await startBus(dir.path, {
    broker: {
      anonymous: false,
      users: [{ name: "u", passwordHash }],
      acl: [{ topic: "open/#", access: "readwrite" }],
    },
  });
  using stranger = await openRaw(edge.bus.mqttPort, 5);
  stranger.send(connectPacket5("c"));
  expect(await stranger.next()).toMatchObject({ cmd: "connack", reasonCode: 0x87 });
  using client = await openRaw(edge.bus.mqttPort, 5);
  client.send(connectPacket5("c", {}, { username: "u", password: Buffer.from("secret") }));
  await client.next();
  const message = { payload: "x", dup: false, retain: false } as const;
  client.send(
    { cmd: "publish", topic: "closed", qos: 0, ...message },
    { cmd: "publish", topic: "closed", qos: 1, messageId: 1, ...message },
    { cmd: "publish", topic: "closed", qos: 2, messageId: 2, ...message },
    { cmd: "publish", topic: "open/a", qos: 1, messageId: 3, ...message },
    {
      cmd: "subscribe",
      messageId: 4,
      subscriptions: [
        { topic: "closed", qos: 1 },
        { topic: "$share/g/closed", qos: 1 },
        { topic: "$share/g/open/#", qos: 1 },
      ],
    },
    { cmd: "unsubscribe", messageId: 5, unsubscriptions: ["$share/g/open/#", "open/none"] },
  );
  const answers = [];
  for (let n = 0; n < 5; n += 1) answers.push(await client.next());
  expect(answers).toMatchObject([
    { cmd: "puback", messageId: 1, reasonCode: 0x87 },
    { cmd: "pubrec", messageId: 2, reasonCode: 0x87 },
    { cmd: "puback", messageId: 3, reasonCode: 0x10 },
    { cmd: "suback", messageId: 4, granted: [0x87, 0x87, 1] },
    { cmd: "unsuback", messageId: 5, granted: [0, 0x11] },
  ]);
});

test("broker answers a protocol version that it does not know with code 1", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.socket.write(bytes("10 0e 00 04 4d 51 54 54 06 02 00 00 00 00 01 63"));
  expect(await client.next()).toMatchObject({ cmd: "connack", returnCode: 1 });
  await client.closed;
});
