import { expect, test } from "bun:test";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { connect } from "mqtt";
import { nextTurn } from "#shared/clock";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { collect, startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { connectPacket, openRaw, publishPacket } from "#internal/test/edge/mqtt/broker/raw-client.ts";

const update = "$hw/events/device/d1/twin/update";

test("broker handles packets that arrive in one piece with the CONNECT, and acknowledges in order", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { receive: nextTurn });
  using client = await openRaw(edge.bus.mqttPort);
  const many = Array.from({ length: 100 }, (_, n) => publishPacket(n % 2 === 0 ? update : "x", 1, n + 1));
  client.send(connectPacket("burst"), ...many);
  expect((await client.next()).cmd).toBe("connack");
  const ids: (number | undefined)[] = [];
  for (const _ of many) ids.push((await client.next()).messageId);
  expect(ids).toEqual(many.map(({ messageId }) => messageId));
  expect(edge.received.length).toBe(50);
});

test("broker passes a repeated message of QoS 2 to the twins once", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.send(connectPacket("twice"), publishPacket(update, 2, 7));
  expect([(await client.next()).cmd, (await client.next()).cmd]).toEqual(["connack", "pubrec"]);
  client.send(publishPacket(update, 2, 7, true));
  expect((await client.next()).cmd).toBe("pubrec");
  client.send({ cmd: "pubrel", messageId: 7 });
  expect((await client.next()).cmd).toBe("pubcomp");
  expect(edge.received.length).toBe(1);
});

test("broker delivers at the highest QoS of all filters that match", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const [reader, writer] = [await edge.connect({ clean: false, clientId: "reader" }), await edge.connect()];
  const seen = collect(reader);
  await reader.subscribeAsync("a/x", { qos: 0 });
  await reader.subscribeAsync("a/#", { qos: 2 });
  await reader.subscribeAsync("a/+", { qos: 1 });
  for (const qos of [0, 1, 2] as const) await writer.publishAsync("a/x", String(qos), { qos });
  expect((await seen.count(3)).map(({ text, qos }) => `${text}@${qos}`)).toEqual(["0@0", "1@1", "2@2"]);
});

test("broker sends queued messages to a resumed session before new ones", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { sessionQueueSize: 5000 } });
  const first = await edge.connect({ clean: false, clientId: "reader" });
  await first.subscribeAsync("n", { qos: 1 });
  await first.endAsync();
  const writer = await edge.connect();
  let n = 0;
  const write = (): Promise<unknown> => writer.publishAsync("n", String(n++), { qos: 1 });
  for (let i = 0; i < 2000; i += 1) void write();
  await write();
  const back = connect(`mqtt://127.0.0.1:${edge.bus.mqttPort}`, { clean: false, clientId: "reader" });
  const seen = collect(back);
  const stop = new AbortController();
  const stream = (async () => {
    while (!stop.signal.aborted) await Promise.all(Array.from({ length: 20 }, write));
  })();
  await seen.count(2500);
  stop.abort();
  await stream;
  const got = (await seen.count(n)).map(({ text }) => Number(text));
  expect(got).toEqual(Array.from({ length: n }, (_, i) => i));
  await back.endAsync(true);
}, 60_000);

test("broker does not use a message id twice in a resumed session", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const writer = await edge.connect();
  const session = connectPacket("half", { clean: false });
  {
    using client = await openRaw(edge.bus.mqttPort);
    client.send(session, { cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "n", qos: 1 }] });
    expect([(await client.next()).cmd, (await client.next()).cmd]).toEqual(["connack", "suback"]);
    for (const text of ["a", "b", "c"]) await writer.publishAsync("n", text, { qos: 1 });
    for (let n = 1; n <= 3; n += 1) expect((await client.next()).messageId).toBe(n);
    client.send({ cmd: "puback", messageId: 2 });
    client.socket.end();
    await client.closed;
  }
  using again = await openRaw(edge.bus.mqttPort);
  again.send(session);
  expect(await again.next()).toMatchObject({ cmd: "connack", sessionPresent: true });
  for (const id of [1, 3]) expect(await again.next()).toMatchObject({ messageId: id, dup: true });
  for (const text of ["d", "e"]) await writer.publishAsync("n", text, { qos: 1 });
  const ids = [(await again.next()).messageId, (await again.next()).messageId];
  expect(ids.filter((id) => id === 1 || id === 3)).toEqual([]);
});

test.each([
  ["a client of MQTT 3.1", "100e00064d5149736470030200000000"],
  ["a persistent session", "100c00044d515454040000000000"],
])("broker refuses %s without a client id", async (_, packet) => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.socket.write(Buffer.from(packet, "hex"));
  expect(await client.next()).toMatchObject({ cmd: "connack", returnCode: 2 });
  await client.closed;
});

test("broker publishes its figures under mosquitto's names", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const reader = await edge.connect();
  const seen = collect(reader);
  await reader.subscribeAsync("$SYS/broker/#", { qos: 0 });
  const names = (await seen.count(10)).map(({ topic }) => topic.replace("$SYS/broker/", ""));
  expect(names).toContain("clients/connected");
  expect(names).toContain("publish/messages/received");
  expect(names).toContain("version");
});

test("broker repeats a message of QoS 1 under its id with DUP when it was killed before the acknowledgement", async () => {
  using dir = tempDir();
  using copy = tempDir();
  await using edge = await startBus(dir.path);
  using reader = await openRaw(edge.bus.mqttPort);
  reader.send(connectPacket("reader", { clean: false }), {
    cmd: "subscribe",
    messageId: 1,
    subscriptions: [{ topic: "#", qos: 1 }],
  });
  expect([(await reader.next()).cmd, (await reader.next()).cmd]).toEqual(["connack", "suback"]);
  const writer = await edge.connect();
  for (const topic of ["first", "second"]) await writer.publishAsync(topic, topic, { qos: 1 });
  const sent = [await reader.next(), await reader.next()];
  reader.send({ cmd: "puback", messageId: sent[0]?.messageId ?? 0 });
  await writer.publishAsync("third", "third", { qos: 1 });
  await reader.next();
  // What is on disk now is what a kill would leave.
  cpSync(dir.path, copy.path, { recursive: true });
  await using after = await startBus(copy.path, { database: join(copy.path, "edge.db") });
  using again = await openRaw(after.bus.mqttPort);
  again.send(connectPacket("reader", { clean: false }));
  expect((await again.next()).cmd).toBe("connack");
  expect(await again.next()).toMatchObject({ topic: "second", messageId: sent[1]?.messageId, dup: true });
});
