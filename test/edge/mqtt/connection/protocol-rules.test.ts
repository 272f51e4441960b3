import { expect, test } from "bun:test";
import { generate } from "mqtt-packet";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { connectPacket, openRaw } from "#internal/test/edge/mqtt/broker/raw-client.ts";
import { until } from "#internal/test/edge/mqtt/until.ts";

const wrong: Readonly<Record<string, string>> = {
  "PUBLISH of QoS 1 without room for an id": "32 03 00 01 61",
  "PUBLISH of QoS 2 without room for an id": "34 04 00 01 61 00",
  "PUBLISH of QoS 1 with id 0": "32 06 00 01 61 00 00 78",
  "PUBLISH of QoS 0 with DUP": "38 04 00 01 61 78",
  "SUBSCRIBE with id 0": "82 06 00 00 00 01 61 00",
  "SUBSCRIBE without an id": "82 00",
  "UNSUBSCRIBE with id 0": "a2 05 00 00 00 01 61",
  "PUBACK of three bytes": "40 03 00 01 00",
  "PUBACK of one byte": "40 01 00",
  "PUBREC of three bytes": "50 03 00 01 00",
  "PUBREL of three bytes": "62 03 00 01 00",
  "PUBCOMP of three bytes": "70 03 00 01 00",
  "PINGREQ of one byte": "c0 01 00",
};

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex");

test.each(Object.entries(wrong))("broker closes the connection without an answer to a %s", async (_, hex) => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.send(connectPacket("c"));
  expect((await client.next()).cmd).toBe("connack");
  const answers: unknown[] = [];
  void client.next().then((packet) => answers.push(packet));
  client.socket.write(bytes(`${hex} c0 00`));
  await client.closed;
  expect(answers).toEqual([]);
});

test("broker publishes the will of a client whose DISCONNECT is malformed", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  const topic = "$hw/events/device/d/state/update";
  client.send(connectPacket("c", { will: { topic, payload: Buffer.from("{}"), qos: 1, retain: false } }));
  await client.next();
  client.socket.write(bytes("e0 01 00"));
  await client.closed;
  await until(() => edge.received.length > 0);
  expect(edge.received.map((message) => message.topic)).toEqual([topic]);
});

const connectOf = (name: string, level: number, flags = 2): Buffer => {
  const body = Buffer.concat([
    bytes("00 00"),
    Buffer.from(name),
    Buffer.from([level, flags, 0, 0]),
    bytes("00 01 63"),
  ]);
  body.writeUInt16BE(name.length);
  return Buffer.concat([Buffer.from([0x10, body.length]), body]);
};

test.each([
  ["MQTT", 3],
  ["MQIsdp", 4],
  ["MQTT", 9],
] as const)("broker answers a CONNECT of %s with level %i that it does not speak it", async (name, level) => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.socket.write(connectOf(name, level));
  expect(await client.next()).toMatchObject({ cmd: "connack", returnCode: 1 });
  await client.closed;
});

test("broker refuses a client whose will has QoS 3", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  const connect = generate(
    connectPacket("c", { will: { topic: "w", payload: Buffer.from("x"), qos: 2, retain: false } }),
  );
  connect[9] = (connect[9] ?? 0) | 0x08;
  const answers: unknown[] = [];
  void client.next().then((packet) => answers.push(packet));
  client.socket.write(connect);
  await client.closed;
  expect(answers).toEqual([]);
});
