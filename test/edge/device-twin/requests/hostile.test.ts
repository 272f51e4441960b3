import { expect, test } from "bun:test";
import { startHarness, type Harness } from "#internal/test/edge/device-twin/harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const topic = "$hw/events/device/d";
const unreadable = "Unmarshal update request body failed, please check the request";

async function withDevice(directory: string): Promise<Harness> {
  const node = await startHarness(directory);
  await node.deliver("membership", { added_devices: [{ id: "d", name: "d" }] });
  node.take();
  return node;
}

const bodies: readonly [string, string][] = [
  ["nothing", ""],
  ["a list", "[]"],
  ["a number", "5"],
  ["null", "null"],
  ["a text", '"x"'],
  ["half an object", '{"twin":{'],
  ["a list of twins", '{"event_id":"","twin":[]}'],
  ["a twin that is a number", '{"twin":{"a":5}}'],
  ["a side that is a text", '{"twin":{"a":{"actual":"5"}}}'],
  ["a value that is a number", '{"twin":{"a":{"actual":{"value":5}}}}'],
  ["a value that is a truth", '{"twin":{"a":{"expected":{"value":true}}}}'],
  ["metadata that is a text", '{"twin":{"a":{"actual":{"value":"5"},"metadata":"int"}}}'],
  ["a type that is a number", '{"twin":{"a":{"actual":{"value":"5"},"metadata":{"type":5}}}}'],
  ["JSON nested without end", `{"twin":${'{"a":'.repeat(150_000)}`],
];

test.each(bodies)("an update that is %s is refused on the topic of the device", async (_, body) => {
  using dir = tempDir();
  await using node = await withDevice(dir.path);
  await node.send(`${topic}/twin/update`, body);
  expect(node.take()).toEqual([
    {
      topic: `${topic}/twin/update/result`,
      payload: { event_id: "", timestamp: expect.any(Number), code: 400, reason: unreadable },
    },
  ]);
  expect(node.outbox()).toEqual([]);
});

const shapes = bodies.filter(([, body]) => !body.startsWith("{"));

test.each([...shapes, ["half an object", "{"]])(
  "questions and states that are %s are refused on their topics",
  async (_, body) => {
    using dir = tempDir();
    await using node = await withDevice(dir.path);
    const members = "$hw/events/node/ke-edge/membership/get";
    for (const asked of [`${topic}/twin/get`, members, `${topic}/state/update`]) await node.send(asked, body);
    const refusal = { event_id: "", timestamp: expect.any(Number), code: 400, reason: unreadable };
    expect(node.take()).toEqual([
      { topic: `${topic}/twin/get/result`, payload: refusal },
      { topic: `${members}/result`, payload: refusal },
      { topic: `${topic}/state/update/result`, payload: refusal },
    ]);
    expect(node.outbox()).toEqual([]);
  },
);

const states = "online, offline, ok, unknown, disconnected, unhealthy";

test.each([{ state: 5 }, { state: "sideways" }, { state: null }, {}])(
  "a state such as %j is refused with those there are",
  async (body) => {
    using dir = tempDir();
    await using node = await withDevice(dir.path);
    await node.send(`${topic}/state/update`, { event_id: "s", ...body });
    const reason = `Update state error, state must be one of ${states}`;
    const payload = { event_id: "s", timestamp: expect.any(Number), code: 400, reason };
    expect(node.take()).toEqual([{ topic: `${topic}/state/update/result`, payload }]);
    expect(node.outbox()).toEqual([]);
  },
);

test("the state of an unknown device is refused", async () => {
  using dir = tempDir();
  await using node = await withDevice(dir.path);
  const asked = "$hw/events/device/nobody/state/update";
  await node.send(asked, { event_id: "s", state: "online" });
  const reason = "Device nobody not found while updating state";
  const payload = { event_id: "s", timestamp: expect.any(Number), code: 404, reason };
  expect(node.take()).toEqual([{ topic: `${asked}/result`, payload }]);
});

test.each([5, "", null, {}])("an event id that is %p is answered as none", async (id) => {
  using dir = tempDir();
  await using node = await withDevice(dir.path);
  await node.send(`${topic}/twin/update`, { event_id: id, twin: { a: { actual: { value: "1" } } } });
  expect(node.take()[0]?.payload).toMatchObject({ event_id: "", twin: { a: { actual: { value: "1" } } } });
});

const badKey = expect.stringContaining("The key of twin must only include");
const badValue = expect.stringContaining("The value of twin must only include");
const twins: readonly [string, string, unknown][] = [
  ["a name of 129 characters", `{"${"x".repeat(129)}":{"actual":{"value":"1"}}}`, badKey],
  ["an empty name", '{"":{"actual":{"value":"1"}}}', badKey],
  ["a name in another alphabet", '{"темп":{"actual":{"value":"1"}}}', badKey],
  ["a value in another alphabet", '{"a":{"actual":{"value":"тепло"}}}', badValue],
  ["a megabyte as value", `{"a":{"actual":{"value":"${"1".repeat(1_000_000)}"}}}`, badValue],
  [
    "a number no machine has, as int",
    '{"a":{"actual":{"value":"1e999"},"metadata":{"type":"int"}}}',
    "the value is not int",
  ],
];

test.each(twins)("an update with %s is refused and changes nothing", async (_, twin, reason) => {
  using dir = tempDir();
  await using node = await withDevice(dir.path);
  await node.send(`${topic}/twin/update`, `{"event_id":"x","twin":${twin}}`);
  expect(node.take()[0]?.payload).toEqual({
    event_id: "x",
    timestamp: expect.any(Number),
    code: 400,
    reason: reason as string,
  });
  expect(node.outbox()).toEqual([]);
});

test("bytes that are not UTF-8 are refused as values and harmless as event ids", async () => {
  using dir = tempDir();
  await using node = await withDevice(dir.path);
  const text = JSON.stringify({ event_id: "\u0001", twin: { a: { actual: { value: "\u0001" } } } });
  const payload = Buffer.from(text.replaceAll(String.raw`\u0001`, "\u0001"), "latin1").map((byte) =>
    byte === 1 ? 0xff : byte,
  );
  await node.bus.port<never, "mqtt.received">("client").ask("mqtt.received", {
    topic: `${topic}/twin/update`,
    payload,
  });
  expect(node.take()[0]?.payload).toMatchObject({ event_id: "\uFFFD", code: 400, reason: badValue });
});

test("properties named like parts of an object are properties", async () => {
  using dir = tempDir();
  {
    await using node = await withDevice(dir.path);
    const twin = '{"__proto__":{"actual":{"value":"1"}},"constructor":{"actual":{"value":"2"}}}';
    await node.send(`${topic}/twin/update`, `{"event_id":"x","twin":${twin}}`);
    expect(Object.keys(node.take()[0]?.payload["twin"] as object)).toEqual(["__proto__", "constructor"]);
  }
  await using node = await startHarness(dir.path);
  await node.send(`${topic}/twin/get`, {});
  const shown = Object.entries(
    node.take()[0]?.payload["twin"] as Record<string, { actual: { value: string } }>,
  );
  expect(shown.map(([name, { actual }]) => [name, actual.value])).toEqual([
    ["__proto__", "1"],
    ["constructor", "2"],
  ]);
});

test("the last of two equal keys counts, and a null is not a value", async () => {
  using dir = tempDir();
  await using node = await withDevice(dir.path);
  const one = (value: string): string => `{"actual":{"value":${value}}}`;
  await node.send(
    `${topic}/twin/update`,
    `{"twin":{"a":${one('"1"')},"a":${one('"2"')},"b":${one("null")}}}`,
  );
  const twin = node.take()[0]?.payload["twin"] as Record<string, { actual: { value: string } }>;
  expect(Object.entries(twin).map(([name, { actual }]) => [name, actual.value])).toEqual([["a", "2"]]);
});

test.each(["device", "events", "twin", "state", "$hw", "..", "%2f", "räume", "a b"])(
  "a device may be called %s",
  async (id) => {
    using dir = tempDir();
    await using node = await startHarness(dir.path);
    await node.deliver("membership", { added_devices: [{ id, name: id }] });
    node.take();
    await node.send(`$hw/events/device/${id}/twin/update`, { twin: { a: { actual: { value: "1" } } } });
    await node.send(`$hw/events/device/${id}/state/update`, { state: "online" });
    expect(node.take().map((message) => message.topic)).toEqual([
      `$hw/events/device/${id}/twin/update/result`,
      `$hw/events/device/${id}/twin/update/document`,
      `$hw/events/device/${id}/state/update/result`,
    ]);
    expect(node.outbox().map(({ resource }) => resource)).toEqual([
      `device/${id}/twin/edge_updated`,
      `device/${id}/state/update`,
    ]);
  },
);

test("a client cannot fill a device with twins in the place of the cloud", async () => {
  using dir = tempDir();
  await using node = await withDevice(dir.path);
  const version = { cloud: 1, edge: 0 };
  const twin = Array.from({ length: 1500 }, (_, n) => [
    `p${n}`,
    { expected: { value: "1" }, expected_version: version },
  ]);
  await node.send(`${topic}/twin/cloud_updated`, { twin: Object.fromEntries(twin) });
  expect([...node.store.twins.each()].length).toBe(1000);
});

test("a Device with fields of wrong types is used as far as possible", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice({
    metadata: { name: "odd", namespace: "default" },
    spec: {
      deviceModelRef: { name: "none" },
      protocol: { protocolName: 5, configData: [] },
      properties: [
        null,
        5,
        {},
        { name: "good", desired: { value: "1" }, visitors: "x" },
        { name: "bad", desired: 1 },
      ],
    },
  });
  node.take();
  await node.send("$hw/events/device/odd/twin/get", {});
  expect(Object.keys(node.take()[0]?.payload["twin"] as object)).toEqual(["bad", "good"]);
});
