import { expect, setDefaultTimeout, test } from "bun:test";
import { generate, type Packet } from "mqtt-packet";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { connectPacket5, openRaw, type RawClient } from "#internal/test/edge/mqtt/broker/raw-client.ts";
import { startMeasured } from "./measured-broker.ts";

setDefaultTimeout(60_000);

const forever = { sessionExpiryInterval: 0xffff_ffff };

async function connected(
  port: number,
  id: string,
  properties: object = {},
  more: object = {},
): Promise<RawClient> {
  const client = await openRaw(port, 5);
  client.send(connectPacket5(id, properties, more));
  expect(await client.next()).toMatchObject({ cmd: "connack", reasonCode: 0 });
  return client;
}

function publish(topic: string, more: object = {}): Packet {
  return { cmd: "publish", topic, payload: "x", qos: 0, dup: false, retain: false, ...more };
}

/** A user property of so many bytes. */
const huge = (bytes: number): object => ({ userProperties: { k: "v".repeat(bytes) } });

test("thousands of sessions that ask for 136 years take bounded memory, and the oldest give way", async () => {
  using dir = tempDir();
  await using broker = await startMeasured(dir.path);
  const beforeMb = broker.residentMb();
  for (let n = 0; n < 10_500; n += 100)
    await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        using client = await connected(broker.mqttPort, `c${n + index}`, {
          sessionExpiryInterval: 0xffff_fffe,
        });
        client.send({ cmd: "disconnect" });
        await client.closed;
      }),
    );
  expect(broker.residentMb() - beforeMb).toBeLessThan(120);
  using last = await connected(broker.mqttPort, "c10499", forever, { clean: false });
  last.send({ cmd: "pingreq" });
  expect((await last.next()).cmd).toBe("pingresp");
});

test("user properties count as bytes of queues and retained messages", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const port = edge.bus.mqttPort ?? 0;
  {
    using away = await connected(port, "away", forever);
    away.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a/#", qos: 1 }] });
    await away.next();
  }
  using writer = await connected(port, "writer");
  for (let n = 1; n <= 200; n += 1) {
    writer.send(publish(`a/${n}`, { qos: 1, messageId: n, retain: true, properties: huge(60_000) }));
    await writer.next();
  }
  const packets = [...edge.store.mqttSessions.packets()];
  const bytes = packets.reduce((sum, { properties }) => sum + (properties?.length ?? 0), 0);
  expect([bytes <= 8 * 1024 * 1024, packets.length > 100]).toEqual([true, false]);
});

test("a storm of wills with one delay is published once each, and those of clients that came back are not", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const port = edge.bus.mqttPort ?? 0;
  using reader = await connected(port, "reader");
  reader.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "will/#", qos: 0 }] });
  await reader.next();
  const will = (n: number): object => ({
    will: {
      topic: `will/${n}`,
      payload: Buffer.from("gone"),
      qos: 1,
      retain: false,
      properties: { willDelayInterval: 2 },
    },
  });
  const all = Array.from({ length: 300 }, (_, n) => n);
  const clients = await Promise.all(all.map((n) => connected(port, `c${n}`, forever, will(n))));
  for (const { socket } of clients) socket.destroy();
  await Promise.all(clients.map(({ closed }) => closed));
  const back = await Promise.all(
    all.slice(0, 50).map((n) => connected(port, `c${n}`, forever, { clean: false })),
  );
  const topics = new Set<string>();
  for (let n = 50; n < 300; n += 1) {
    const packet = await reader.next();
    topics.add("topic" in packet ? packet.topic : "");
  }
  reader.send({ cmd: "pingreq" });
  expect((await reader.next()).cmd).toBe("pingresp");
  expect(topics).toEqual(new Set(all.slice(50).map((n) => `will/${n}`)));
  for (const client of back) client[Symbol.dispose]();
});

test("a large packet that arrives byte by byte takes no more memory than its bytes", async () => {
  using dir = tempDir();
  await using broker = await startMeasured(dir.path);
  using client = await connected(broker.mqttPort, "slow");
  client.socket.setNoDelay(true);
  const frame = generate(publish("a", { payload: Buffer.alloc(1_000_000, 65) }), { protocolVersion: 5 });
  const beforeMb = broker.residentMb();
  for (let at = 0; at < 20_000; at += 1) {
    client.socket.write(frame.subarray(at, at + 1));
    if (at % 50 === 0) await Bun.sleep(0);
  }
  client.socket.write(frame.subarray(20_000));
  client.send({ cmd: "pingreq" });
  expect((await client.next()).cmd).toBe("pingresp");
  expect(broker.residentMb() - beforeMb).toBeLessThan(60);
});

test("members of groups that come and go by the hundred lose no message of QoS 1", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { sessionQueueSize: 10_000 } });
  const port = edge.bus.mqttPort ?? 0;
  const join = async (id: string, properties: object): Promise<RawClient> => {
    const member = await connected(port, id, properties);
    member.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "$share/g/work/#", qos: 1 }] });
    expect((await member.next()).cmd).toBe("suback");
    return member;
  };
  // One member whose session stays takes what nobody else does.
  (await join("stays", forever)).socket.destroy();
  using writer = await connected(port, "writer", { receiveMaximum: 10 });
  const got = new Set<string>();
  for (let round = 0; round < 5; round += 1) {
    const members = await Promise.all(Array.from({ length: 100 }, (_, n) => join(`m${round}-${n}`, {})));
    for (let n = 0; n < 100; n += 1) {
      writer.send(publish("work/x", { qos: 1, messageId: n + 1, payload: `${round}-${n}` }));
      expect(await writer.next()).toMatchObject({ cmd: "puback", reasonCode: 0 });
    }
    // In turn, so one for each member.
    for (const member of members) {
      const packet = await member.next();
      got.add("payload" in packet ? String(packet.payload) : "");
      member.send({ cmd: "disconnect" });
    }
    await Promise.all(members.map(({ closed }) => closed));
    writer.send(publish("work/x", { qos: 1, messageId: 1, payload: `alone-${round}` }));
    await writer.next();
  }
  using stays = await connected(port, "stays", forever, { clean: false });
  for (let n = 0; n < 5; n += 1) {
    const packet = await stays.next();
    got.add("payload" in packet ? String(packet.payload) : "");
  }
  expect(got.size).toBe(505);
});
