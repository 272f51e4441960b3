import { expect, test } from "bun:test";
import { generate, parser } from "mqtt-packet";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus, type BusHarness } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { connectPacket, openRaw, publishPacket } from "#internal/test/edge/mqtt/broker/raw-client.ts";

const update = "$hw/events/device/d/twin/update";

function bigMessage(messageId: number): Buffer {
  return generate({ ...publishPacket(update, 1, messageId), payload: Buffer.alloc(900_000, "A") });
}

/** Turns of the event loop in which the broker could have read more. */
async function talk(edge: BusHarness): Promise<void> {
  const other = await edge.connect();
  for (let n = 0; n < 300; n += 1) await other.publishAsync("talk", "x", { qos: 1 });
}

test("broker stops reading from a WebSocket whose messages are not stored, and resumes when they are", async () => {
  using dir = tempDir();
  const storing = Promise.withResolvers<void>();
  await using edge = await startBus(dir.path, { receive: () => storing.promise });
  const socket = new WebSocket(`ws://127.0.0.1:${edge.bus.websocketPort}`, ["mqtt"]);
  const [connected, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let answers = 0;
  const reader = parser();
  reader.on("packet", ({ cmd }) => {
    if (cmd === "connack") connected.resolve();
    else if ((answers += 1) === 60) answered.resolve();
  });
  socket.addEventListener("message", ({ data }) => void reader.parse(data as Buffer));
  socket.addEventListener("open", () => socket.send(generate(connectPacket("big"))));
  await connected.promise;
  for (let n = 1; n <= 60; n += 1) socket.send(bigMessage(n));
  await talk(edge);
  expect(socket.bufferedAmount).toBeGreaterThan(20_000_000);
  storing.resolve();
  await answered.promise;
  socket.close();
});

test("broker stops reading from a TCP client whose messages are not stored, and resumes when they are", async () => {
  using dir = tempDir();
  const storing = Promise.withResolvers<void>();
  await using edge = await startBus(dir.path, { receive: () => storing.promise });
  using client = await openRaw(edge.bus.mqttPort);
  client.send(connectPacket("big"));
  await client.next();
  for (let n = 1; n <= 60; n += 1) client.socket.write(bigMessage(n));
  await talk(edge);
  expect([edge.received.length, client.socket.writableLength > 20_000_000]).toEqual([1, true]);
  storing.resolve();
  for (let n = 1; n <= 60; n += 1) expect(await client.next()).toMatchObject({ cmd: "puback", messageId: n });
});
