import { expect, test } from "bun:test";
import { once } from "node:events";
import { generate, parser, type Packet } from "mqtt-packet";
import { WebSocket } from "ws";
import { collect, startBus, type BusHarness } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { nextTurn } from "#shared/clock";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { connectPacket, publishPacket } from "#internal/test/edge/mqtt/broker/raw-client.ts";

const update = "$hw/events/device/d/twin/update";

async function open(edge: BusHarness, subprotocols: readonly string[]): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${edge.bus.websocketPort}/any`, [...subprotocols]);
  await once(socket, "open");
  return socket;
}

/** Resolves with the first packets that come, however they are cut into frames. */
async function packets(socket: WebSocket, count: number): Promise<Packet[]> {
  const all: Packet[] = [];
  const done = Promise.withResolvers<Packet[]>();
  const reader = parser();
  reader.on("packet", (packet) => {
    all.push(packet);
    if (all.length === count) done.resolve(all);
  });
  socket.on("message", (data: Buffer) => void reader.parse(data));
  return done.promise;
}

test.each([
  [["mqtt"], "mqtt"],
  [["mqttv3.1"], "mqttv3.1"],
  [["other", "mqtt"], "mqtt"],
  [[], ""],
])("broker accepts a WebSocket that offers %j", async (offered, chosen) => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const socket = await open(edge, offered);
  expect(socket.protocol).toBe(chosen);
  const answer = packets(socket, 1);
  socket.send(generate(connectPacket("w")));
  expect(await answer).toMatchObject([{ cmd: "connack", returnCode: 0 }]);
  socket.close();
  await once(socket, "close");
});

test("broker reads packets from frames of one byte and from one frame of many", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const socket = await open(edge, ["mqtt"]);
  const answers = packets(socket, 21);
  for (const byte of generate(connectPacket("w"))) socket.send(Buffer.from([byte]));
  for (let n = 1; n <= 10; n += 1)
    for (const byte of generate(publishPacket(update, 1, n))) socket.send(Buffer.from([byte]));
  const many = Array.from({ length: 10 }, (_, n) => generate(publishPacket(update, 1, 11 + n)));
  socket.send(Buffer.concat(many));
  expect((await answers).slice(1).map(({ cmd, messageId }) => [cmd, messageId])).toEqual(
    Array.from({ length: 20 }, (_, n) => ["puback", n + 1]),
  );
  expect(edge.received.length).toBe(20);
  socket.close();
  await once(socket, "close");
});

test("broker closes a WebSocket that sends text", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const socket = await open(edge, ["mqtt"]);
  const closed = once(socket, "close");
  socket.send("CONNECT");
  expect((await closed)[0]).toBe(1003);
});

test("broker sends large messages over WebSocket in frames that small clients can buffer", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const socket = await open(edge, ["mqtt"]);
  const sizes: number[] = [];
  socket.on("message", (data: Buffer) => sizes.push(data.length));
  const answers = packets(socket, 202);
  socket.send(generate(connectPacket("w")));
  socket.send(generate({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "some", qos: 0 }] }));
  const writer = await edge.connect();
  await writer.publishAsync("ask", "", { qos: 1 });
  for (let n = 0; n < 200; n += 1) writer.publish("some", Buffer.alloc(1000, n), { qos: 0 });
  await answers;
  expect(Math.max(...sizes)).toBeLessThanOrEqual(64 * 1024);
  socket.close();
  await once(socket, "close");
});

test("broker handles what a WebSocket client sent before it closed, and publishes no will after a DISCONNECT", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { receive: nextTurn });
  const listener = await edge.connect();
  const seen = collect(listener);
  await listener.subscribeAsync("t/#", { qos: 0 });
  for (let n = 0; n < 5; n += 1) {
    const socket = await open(edge, ["mqtt"]);
    const answer = packets(socket, 1);
    const will = { topic: "t/will", payload: Buffer.from("gone"), qos: 0, retain: false } as const;
    socket.send(generate(connectPacket(`w${n}`, { will })));
    await answer;
    const last = [publishPacket(update, 1, 1), publishPacket("t/last", 0, n), { cmd: "disconnect" } as const];
    socket.send(Buffer.concat(last.map((packet) => generate(packet))));
    socket.close();
    await once(socket, "close");
  }
  // Wills would be published before this one.
  const writer = await edge.connect();
  await writer.publishAsync("t/end", "", { qos: 1 });
  const topics = (await seen.count(6)).map(({ topic }) => topic);
  expect(topics).toEqual([...Array.from({ length: 5 }, () => "t/last"), "t/end"]);
});
