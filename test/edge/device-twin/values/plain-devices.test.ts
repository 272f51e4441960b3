import { expect, test } from "bun:test";
import { startHarness } from "#internal/test/edge/device-twin/harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const model = {
  metadata: { name: "plug-model", namespace: "default" },
  spec: {
    properties: [
      { name: "power", type: "FLOAT", accessMode: "ReadOnly" },
      {
        name: "relay",
        type: "BOOLEAN",
        accessMode: "ReadWrite",
        visitors: {
          protocolName: "mqtt",
          configData: {
            topic: "stat/{name}/POWER",
            setTopic: "cmnd/{name}/POWER",
            setPayload: '{"state":"{{value}}"}',
          },
        },
      },
    ],
  },
};

function plug(desired?: string): object {
  return {
    metadata: { name: "plug-1", namespace: "default", resourceVersion: "7" },
    spec: {
      deviceModelRef: { name: "plug-model" },
      nodeName: "ke-edge",
      protocol: {
        protocolName: "mqtt",
        configData: {
          topic: "tele/{name}/#",
          stateTopic: "tele/{name}/LWT",
          onlinePayload: "Online",
          offlinePayload: "Offline",
        },
      },
      properties: [
        {
          name: "power",
          visitors: { configData: { path: "$.ENERGY.Power[0]", expression: "round(value / 10, 1)" } },
        },
        { name: "relay", ...(desired === undefined ? {} : { desired: { value: desired } }) },
      ],
    },
  };
}

function twinOf(published: { payload: Record<string, unknown> }[]): unknown {
  return JSON.parse(
    JSON.stringify(published.at(-1)?.payload["twin"]).replaceAll(/"timestamp":\d+/g, '"timestamp":0'),
  );
}

test("a plain device is read by topic, path and expression", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(model);
  await node.addDevice(plug());
  await node.send("tele/plug-1/SENSOR", { ENERGY: { Power: [1234, 5] } });
  await node.send("stat/plug-1/POWER", "ON");
  await node.send("tele/plug-1/LWT", "Online");
  node.take();
  await node.send("$hw/events/device/plug-1/twin/get", { event_id: "g" });

  const side = (value: string): object => ({ value, metadata: { timestamp: 0 } });
  expect(twinOf(node.take())).toEqual({
    power: { actual: side("123.4"), optional: true, metadata: { type: "float" } },
    relay: { actual: side("true"), optional: true, metadata: { type: "boolean" } },
  });
  expect(node.outbox().map(({ resource }) => resource)).toEqual([
    "device/plug-1/twin/edge_updated",
    "device/plug-1/twin/edge_updated",
    "device/plug-1/state/update",
  ]);
});

test("a plain device gets a desired value as its template has it", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(model);
  await node.addDevice(plug());
  node.take();
  await node.addDevice(plug("true"));

  const set = node.published.find(({ topic }) => topic === "cmnd/plug-1/POWER");
  expect(Buffer.from(set?.payload ?? []).toString()).toBe('{"state":"true"}');
  expect(set?.retain).toBe(true);
});

test("a plain device whose value does not fit its model changes nothing", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(model);
  await node.addDevice(plug());
  await node.send("stat/plug-1/POWER", "maybe");
  await node.send("tele/plug-1/SENSOR", "not json");
  expect(node.outbox()).toEqual([]);
});

test("a value that does not fit is recorded once by an Event on the Device, and again when the Device changed", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(model);
  await node.addDevice(plug());
  for (const value of ["maybe", "perhaps"]) await node.send("stat/plug-1/POWER", value);
  await node.send("tele/plug-1/SENSOR", { ENERGY: { Power: [{}] } });
  await node.addDevice(plug("true"));
  await node.send("stat/plug-1/POWER", "who knows");
  expect(
    node.events.map(({ reason, message, involvedObject }) => [reason, involvedObject?.name, message]),
  ).toEqual([
    ["ValueNotTaken", "plug-1", 'Value not taken: relay: "maybe" is not of type boolean'],
    [
      "ValueNotTaken",
      "plug-1",
      'Value not taken: power: no usable value in "{\\"ENERGY\\":{\\"Power\\":[{}]}}" on tele/plug-1/SENSOR',
    ],
    ["ValueNotTaken", "plug-1", 'Value not taken: relay: "who knows" is not of type boolean'],
  ]);
});

test("uploads go to the cloud in order, as they came", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.send("SYS/dis/upload_records", "one");
  await node.send("$hw/events/upload/x/y", "two");
  await node.send("$ke/events/device/d/upload", "three");
  await node.send("factory/user/alarm", "four");
  expect(node.outbox()).toEqual([
    { resource: "SYS/dis/upload_records", operation: "upload", content: "one" },
    { resource: "$hw/events/upload/x/y", operation: "upload", content: "two" },
    { resource: "$ke/events/device/d/upload", operation: "upload", content: "three" },
    { resource: "factory/user/alarm", operation: "upload", content: "four" },
  ]);
});

test("present and past values are served over HTTP, bounded for each property", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, {
    query: { address: "127.0.0.1", port: 0 },
    history: { maxAgeMs: 1e9, maxPerProperty: 4, maxPoints: 1000 },
  });
  await node.deliver("membership", { added_devices: [{ id: "d", name: "d" }] });
  for (let n = 0; n < 20; n += 1)
    await node.send("$hw/events/device/d/twin/update", { twin: { t: { actual: { value: `${n}` } } } });
  const at = `http://127.0.0.1:${node.twin.queryPort}`;
  const answer = (await (await fetch(`${at}/devices/d/t?limit=3`)).json()) as {
    history: { value: string }[];
  };
  expect(answer.history.map(({ value }) => value)).toEqual(["17", "18", "19"]);
  const kept = node.store.telemetry.query({ deviceId: "d", name: "t", limit: 100 }).length;
  expect(kept).toBeLessThanOrEqual(5);
  expect((await fetch(`${at}/devices/none`)).status).toBe(404);
});

test("a history query of the cloud is answered as one over HTTP", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { query: { address: "127.0.0.1", port: 0 } });
  await node.deliver("membership", { added_devices: [{ id: "d", name: "d" }] });
  for (const value of ["1", "2", "3"])
    await node.send("$hw/events/device/d/twin/update", { twin: { t: { actual: { value } } } });
  const answer = await fetch(`http://127.0.0.1:${node.twin.queryPort}/devices/d/t?limit=2`);
  const question = { property: "t", since: 0, limit: 2 };
  expect(await node.ask("device/d/history", question)).toEqual(await answer.json());
});

test("a wrong history query is answered with what is wrong", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { query: { address: "127.0.0.1", port: 0 } });
  await node.deliver("membership", { added_devices: [{ id: "d", name: "d" }] });
  await node.send("$hw/events/device/d/twin/update", { twin: { t: { actual: { value: "1" } } } });
  const limit = 'limit: expected a whole number from 1 to 10000, got "ten"';
  expect([
    await node.ask("device/x/history", { property: "t" }),
    await node.ask("device/d/history", { property: "u" }),
    await node.ask("device/d/history", {}),
    await node.ask("device/d/history", { property: "t", limit: "ten" }),
  ]).toEqual([
    { code: 404, error: 'device "x" not found' },
    { code: 404, error: 'property "u" not found' },
    { code: 400, error: "property: expected the name of a property" },
    { code: 400, error: limit },
  ]);
  const over = await fetch(`http://127.0.0.1:${node.twin.queryPort}/devices/d/t?limit=ten`);
  expect([over.status, await over.json()]).toEqual([400, { error: limit }]);
});

test("reports beyond the limit of the outbox are folded to the latest of each property, and counted", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { outboxLimitBytes: 1_000_000 });
  await node.deliver("membership", { added_devices: [{ id: "d", name: "d" }] });
  const sends = Array.from({ length: 4000 }, (_, n) =>
    node.send("$hw/events/device/d/twin/update", { twin: { [`p${n % 3}`]: { actual: { value: `${n}` } } } }),
  );
  await Promise.all(sends);
  await node.send("$hw/events/device/d/twin/update", { twin: { last: { actual: { value: "x" } } } });
  await node.twin.roomMade();

  expect(node.store.outbox.size().bytes).toBeLessThan(1_000_000);
  expect(node.store.backlog.losses().folded).toBeGreaterThan(0);
  const seen: Record<string, string> = {};
  for (const { content } of node.outbox())
    for (const [name, twin] of Object.entries(
      (content as { twin: Record<string, { actual: { value: string } }> }).twin,
    ))
      seen[name] = twin.actual.value;
  expect(seen).toEqual({ p0: "3999", p1: "3997", p2: "3998", last: "x" });
});

test("a device Home Assistant would find is offered to the cloud with its topics", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { discoveryPrefix: "homeassistant" });
  await node.send("homeassistant/switch/plug/relay/config", {
    "~": "plugs/1",
    name: "Relay",
    uniq_id: "relay",
    stat_t: "~/state",
    cmd_t: "~/set",
    val_tpl: "{{ value_json.relay }}",
    dev: { ids: ["plug-1"] },
  });
  expect(node.outbox()).toMatchObject([
    {
      resource: "device/plug-1/discovered",
      operation: "insert",
      content: {
        model: { spec: { properties: [{ name: "relay", type: "BOOLEAN", accessMode: "ReadWrite" }] } },
        device: {
          metadata: { name: "plug-1", namespace: "default" },
          spec: {
            nodeName: "ke-edge",
            properties: [
              {
                name: "relay",
                visitors: {
                  configData: {
                    topic: "plugs/1/state",
                    path: "$.relay",
                    expression: 'value == "ON" ? true : value == "OFF" ? false : "neither"',
                    setTopic: "plugs/1/set",
                    setOn: "ON",
                    setOff: "OFF",
                  },
                },
              },
            ],
          },
        },
      },
    },
  ]);
});

test("present and past values are served by namespace and name too", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { query: { address: "127.0.0.1", port: 0 } });
  const meter = (namespace: string): object => ({
    metadata: { name: "meter", namespace, uid: namespace },
    spec: { deviceModelRef: { name: "" }, nodeName: "ke-edge", properties: [{ name: "p" }] },
  });
  for (const namespace of ["lab", "default"]) await node.addDevice(meter(namespace));
  for (const namespace of ["lab", "default"]) {
    const twin = { p: { actual: { value: namespace } } };
    await node.send(`$hw/events/device/${namespace}/meter/twin/update`, { twin });
  }
  const get = async (path: string): Promise<unknown> =>
    (await fetch(`http://127.0.0.1:${node.twin.queryPort}/devices/${path}`)).json();
  for (const namespace of ["lab", "default"]) {
    const shown = { twin: { p: { actual: { value: namespace } } } };
    expect(await get(`${namespace}/meter`)).toMatchObject(shown);
    expect(await get(`${namespace}%2Fmeter`)).toMatchObject(shown);
    expect(await get(`${namespace}/meter/p`)).toMatchObject({ history: [{ value: namespace }] });
  }
  expect(await get("meter/p")).toMatchObject({ history: [{ value: "lab" }] });
  expect(await get("other/meter")).toEqual({ error: 'device "other" not found' });
});
