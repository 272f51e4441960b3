import { expect, test } from "bun:test";
import { startHarness, type Harness } from "#internal/test/edge/device-twin/harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const topic = "$hw/events/device/meter";

function model(types: Record<string, string | undefined>): object {
  const properties = Object.entries(types).map(([name, type]) => ({ name, ...(type ? { type } : {}) }));
  return { metadata: { name: "meter-model", namespace: "default" }, spec: { properties } };
}

function meter(properties: Record<string, string | undefined>, version = "7"): object {
  return {
    metadata: { name: "meter", namespace: "default", resourceVersion: version },
    spec: {
      deviceModelRef: { name: "meter-model" },
      nodeName: "ke-edge",
      properties: Object.entries(properties).map(([name, value]) => ({
        name,
        ...(value === undefined ? {} : { desired: { value } }),
      })),
    },
  };
}

const everyType = {
  i: "INT",
  f: "FLOAT",
  d: "DOUBLE",
  b: "BOOLEAN",
  s: "STRING",
  y: "BYTES",
  none: undefined,
};

/** The answer to an update of `name`: its type, or the reason of a refusal. */
async function report(node: Harness, name: string, value: string, type?: string): Promise<unknown> {
  node.take();
  const metadata = type === undefined ? {} : { metadata: { type } };
  await node.send(`${topic}/twin/update`, {
    event_id: "e",
    twin: { [name]: { actual: { value }, ...metadata } },
  });
  const answer = node.take()[0]?.payload as { twin?: Record<string, unknown>; reason?: string };
  const twin = answer.twin?.[name] as { metadata: { type: string } } | undefined;
  return twin?.metadata.type ?? answer.reason;
}

test("the types of a DeviceModel are types of twins", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(model(everyType));
  await node.addDevice(meter({}));
  const types: Record<string, unknown> = {};
  for (const name of [...Object.keys(everyType), "unlisted"]) types[name] = await report(node, name, "true");
  expect(types).toEqual({
    i: "the value is not int",
    f: "the value is not float",
    d: "the value is not float",
    b: "boolean",
    s: "string",
    y: "string",
    none: "string",
    unlisted: "string",
  });
});

test("a twin follows the type of a model that arrives late or changes", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  const shown = async (): Promise<unknown> => {
    await node.send(`${topic}/twin/get`, {});
    const twins = node.take().at(-1)?.payload["twin"] as Record<string, { metadata: { type: string } }>;
    return twins["f"]?.metadata.type;
  };
  await node.addDevice(meter({ f: "21" }));
  expect(await shown()).toBe("string");
  await node.addDevice(model({ f: "INT" }));
  expect(await shown()).toBe("int");
  expect(await report(node, "f", "1.5")).toBe("the value is not int");
  expect(await report(node, "f", "1")).toBe("int");
  await node.addDevice(model({ f: "FLOAT" }));
  expect(await report(node, "f", "1.5")).toBe("float");
});

test("the properties of a Device can be read before they have a value", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(model({ f: "FLOAT", unlisted: "INT" }));
  await node.addDevice(meter({ f: undefined, own: undefined }));
  node.take();
  await node.send(`${topic}/twin/get`, { event_id: "g" });
  expect(node.take()[0]?.payload["twin"]).toEqual({
    f: { optional: true, metadata: { type: "float" } },
    own: { optional: true, metadata: { type: "string" } },
  });
});

test("a client cannot remove a desired value, and may name a twin that does not exist yet", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(meter({ wanted: "1", listed: undefined }));
  node.take();
  await node.send(`${topic}/twin/update`, { event_id: "r", twin: { wanted: null, listed: null } });
  await node.send(`${topic}/twin/get`, { event_id: "g" });
  const [result, get] = node.take();
  expect(result?.payload).toMatchObject({ event_id: "r", twin: {} });
  expect(get?.payload["twin"]).toMatchObject({ wanted: { expected: { value: "1" } } });
});

test("a desired value that a Device no longer has is no longer expected", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(meter({ kept: "1", dropped: "2", taken: "3", silent: "4" }));
  await report(node, "dropped", "0");
  await report(node, "taken", "0");
  node.take();
  await node.addDevice(meter({ kept: "1", dropped: undefined, taken: undefined }, "8"));
  const [document, delta] = node.take();
  expect(document?.payload["twin"]).toMatchObject({
    dropped: { last: { expected: { value: "2" } }, current: { actual: { value: "0" } } },
    silent: { current: null },
  });
  expect(delta?.payload["delta"]).toEqual({ kept: "1" });
});

test("values that the cloud does not get are recorded once by an Event, with the property and the reason", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(meter({ f: "21" }));
  await node.addDevice(model({ f: "FLOAT" }));
  const send = (end: string, body: unknown): Promise<void> => node.send(`${topic}/${end}`, body);
  for (let n = 0; n < 2; n += 1) {
    await send("twin/update", { twin: { f: { actual: { value: 21.5 } } } });
    await send("twin/update", { twin: { f: { actual: { value: "warm" } } } });
    await send("twin/update", { twin: { ff: { actual: { value: "21.5" } } } });
    await send("state/update", { state: "fine" });
    await send("twin/update", { twin: { f: { actual: { value: "21.5" } } } });
    await send("state/update", { state: "online" });
  }
  expect(node.events.map(({ reason, message }) => `${reason}: ${message}`)).toEqual([
    'ValueNotTaken: Value not taken: an update: twin.f.actual.value: expected a JSON string such as "21.5", got 21.5',
    "ValueNotTaken: Value not taken: f: the value is not float",
    "ValueNotTaken: Value not taken: ff: neither the Device nor its model has this property: its value stays on the node",
    'ValueNotTaken: Value not taken: the state: expected {"state": "…"} with online, offline, ok, unknown, disconnected or unhealthy',
  ]);
});

test("names that a client invents fill neither the memory nor the Events of other devices", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  const other = { ...meter({ f: "21" }), metadata: { name: "other", namespace: "default" } };
  for (const object of [meter({ f: "21" }), other, model({ f: "FLOAT" })]) await node.addDevice(object);
  for (let n = 0; n < 300; n += 1)
    await node.send(`${topic}/twin/update`, {
      twin: { [`bad ${n}\n${"x".repeat(100)}`]: { actual: { value: "1" } } },
    });
  await node.send("$hw/events/device/other/twin/update", { twin: { slip: { actual: { value: "1" } } } });
  const names = node.events.map(({ involvedObject }) => involvedObject?.name);
  expect([names.length, names.at(-1)]).toEqual([21, "other"]);
});
