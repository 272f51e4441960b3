import { expect, test } from "bun:test";
import {
  startHarness,
  thermo,
  thermoModel,
  type Published,
} from "#internal/test/edge/device-twin/harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** What a KubeEdge 1.15.4 node answered, ids and times left out; see the notes at each case. */
const device = "$hw/events/device/thermo-1";

function shape(published: Published[]): unknown[] {
  const text = JSON.stringify(published);
  return JSON.parse(text.replaceAll(/"timestamp":\d+/g, '"timestamp":0')) as unknown[];
}

const side = (value: string): object => ({ value, metadata: { timestamp: 0 } });
const text = { optional: true, metadata: { type: "string" } };

test("device twin answers get with the event id and no twins when nothing was reported", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.deliver("membership", {
    added_devices: [{ id: "thermo-1", name: "thermo-1" }],
    removed_devices: null,
  });
  node.take();

  await node.send(`${device}/twin/get`, { event_id: "e1", timestamp: 1 });

  expect(shape(node.take())).toEqual([
    { topic: `${device}/twin/get/result`, payload: { event_id: "e1", timestamp: 0, twin: {} } },
  ]);
});

test("device twin answers an update with result then document, and reports it to the cloud", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.deliver("membership", { added_devices: [{ id: "thermo-1", name: "thermo-1" }] });
  node.take();

  await node.send(`${device}/twin/update`, {
    event_id: "e2",
    timestamp: 1,
    twin: {
      temperature: { actual: { value: "22.5" }, metadata: { type: "string" } },
      target: { actual: { value: "20" }, metadata: { type: "string" } },
    },
  });

  const target = { actual: side("20"), ...text };
  const temperature = { actual: side("22.5"), ...text };
  const published = node.published.slice(-2).map(({ payload }) => Buffer.from(payload).toString());
  expect(published[0]?.replaceAll(/\d{13}/g, "0")).toBe(
    '{"event_id":"e2","timestamp":0,"twin":{"target":{"actual":{"value":"20","metadata":{"timestamp":0}},"optional":true,"metadata":{"type":"string"}},"temperature":{"actual":{"value":"22.5","metadata":{"timestamp":0}},"optional":true,"metadata":{"type":"string"}}}}',
  );
  expect(shape(node.take())).toEqual([
    {
      topic: `${device}/twin/update/result`,
      payload: { event_id: "e2", timestamp: 0, twin: { target, temperature } },
    },
    {
      topic: `${device}/twin/update/document`,
      payload: {
        event_id: "e2",
        timestamp: 0,
        twin: { target: { last: null, current: target }, temperature: { last: null, current: temperature } },
      },
    },
  ]);
  const version = { actual_version: { cloud: 0, edge: 1 } };
  expect(shape(node.outbox() as unknown as Published[])).toEqual([
    {
      resource: "device/thermo-1/twin/edge_updated",
      operation: "update",
      content: {
        event_id: expect.any(String),
        timestamp: 0,
        twin: { target: { ...target, ...version }, temperature: { ...temperature, ...version } },
      },
    },
  ]);
});

test("device twin shows the desired values of a Device and publishes a delta", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(thermoModel);
  await node.addDevice(thermo({ temperature: "0", target: "21" }));
  node.take();

  await node.send(`${device}/twin/update`, {
    event_id: "e3",
    twin: { target: { actual: { value: "21" }, metadata: { type: "string" } } },
  });

  const target = { expected: side("21"), actual: side("21"), ...text };
  const [result, , delta] = shape(node.take());
  expect(result).toEqual({
    topic: `${device}/twin/update/result`,
    payload: { event_id: "e3", timestamp: 0, twin: { target } },
  });
  expect(delta).toEqual({
    topic: `${device}/twin/update/delta`,
    payload: {
      event_id: expect.any(String),
      timestamp: 0,
      twin: {
        target,
        temperature: { expected: side("0"), optional: true, metadata: { type: "float" } },
      },
      delta: { temperature: "0" },
    },
  });
});

test("device twin publishes a delta when the desired value changes in the cloud, and keeps it over a restart", async () => {
  using dir = tempDir();
  {
    await using node = await startHarness(dir.path);
    await node.addDevice(thermoModel);
    await node.addDevice(thermo({ target: "21" }));
    await node.send(`${device}/twin/update`, {
      event_id: "e",
      twin: { target: { actual: { value: "21" } } },
    });
    node.take();
    await node.addDevice(thermo({ target: "23" }, "600"));
    const published = node.take();
    expect(published.map(({ topic }) => topic)).toEqual([
      `${device}/twin/update/document`,
      `${device}/twin/update/delta`,
    ]);
    expect(published[1]?.payload["delta"]).toEqual({ target: "23" });
  }
  await using again = await startHarness(dir.path);
  expect(again.take()).toEqual([]);
  await again.send(`${device}/twin/get`, { event_id: "g" });
  expect(shape(again.take())).toEqual([
    {
      topic: `${device}/twin/get/result`,
      payload: {
        event_id: "g",
        timestamp: 0,
        twin: {
          target: {
            expected: side("23"),
            actual: side("21"),
            optional: true,
            metadata: { type: "float" },
          },
        },
      },
    },
  ]);
});

test("device twin answers a state update and reports the same text to the cloud", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.deliver("membership", { added_devices: [{ id: "thermo-1", name: "thermo-1" }] });
  node.take();

  await node.send(`${device}/state/update`, { event_id: "e3", state: "Online" });

  const [answer] = node.take();
  expect(answer?.topic).toBe(`${device}/state/update/result`);
  expect(answer?.payload).toEqual({
    event_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    timestamp: expect.any(Number),
    device: {
      name: "thermo-1",
      state: "online",
      last_online: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/),
    },
  });
  expect(node.outbox()).toEqual([
    {
      resource: "device/thermo-1/state/update",
      operation: "update",
      content: JSON.stringify(answer?.payload),
    },
  ]);
});

test("device twin lists the members without twins", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.deliver("membership", {
    added_devices: [{ id: "thermo-1", name: "thermo-1", description: "hall", twin: { a: {} } }],
  });
  node.take();

  await node.send("$hw/events/node/ke-edge/membership/get", { event_id: "e4" });

  expect(shape(node.take())).toEqual([
    {
      topic: "$hw/events/node/ke-edge/membership/get/result",
      payload: {
        event_id: "e4",
        timestamp: 0,
        devices: [{ id: "thermo-1", name: "thermo-1", description: "hall" }],
      },
    },
  ]);
});

const refusals: readonly [string, string, unknown, object][] = [
  [
    "an unknown device",
    "nodevice/twin/get",
    { event_id: "e6" },
    { event_id: "e6", code: 404, reason: "Device nodevice not found while getting twin" },
  ],
  [
    "a body that is not JSON, on the topic of the device",
    "thermo-1/twin/update",
    "not json",
    { event_id: "", code: 400, reason: "Unmarshal update request body failed, please check the request" },
  ],
  [
    "an update without twins",
    "thermo-1/twin/update",
    { event_id: "x" },
    { event_id: "x", code: 400, reason: "Update twin error, key:twin does not exist" },
  ],
  [
    "a value that does not fit its type",
    "thermo-1/twin/update",
    { event_id: "x", twin: { n: { actual: { value: "abc" }, metadata: { type: "int" } } } },
    { event_id: "x", code: 400, reason: "the value is not int" },
  ],
  [
    "a value that is no text",
    "thermo-1/twin/update",
    { event_id: "x", twin: { n: { actual: { value: 5 } } } },
    { event_id: "x", code: 400, reason: "Unmarshal update request body failed, please check the request" },
  ],
  [
    "the deletion of an unknown twin",
    "thermo-1/twin/update",
    { event_id: "x", twin: { gone: null } },
    { event_id: "x", code: 400, reason: expect.stringContaining("gone") },
  ],
  [
    "a hostile device name",
    "../twin/get",
    { event_id: "x" },
    { event_id: "x", code: 404, reason: "Device .. not found while getting twin" },
  ],
];

test.each(refusals)("device twin refuses %s", async (_, topic, body, expected) => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.deliver("membership", { added_devices: [{ id: "thermo-1", name: "thermo-1" }] });
  node.take();

  await node.send(`$hw/events/device/${topic}`, body);

  expect(shape(node.take())).toEqual([
    { topic: `$hw/events/device/${topic}/result`, payload: { timestamp: 0, ...expected } },
  ]);
});

test("device twin answers by namespace and name when asked so", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(thermoModel);
  await node.addDevice(thermo());
  node.take();

  await node.send("$hw/events/device/default/thermo-1/twin/update", {
    event_id: "n",
    twin: { temperature: { actual: { value: "1" } } },
  });

  expect(node.take().map(({ topic }) => topic)).toEqual([
    "$hw/events/device/default/thermo-1/twin/update/result",
    "$hw/events/device/default/thermo-1/twin/update/document",
  ]);
});
