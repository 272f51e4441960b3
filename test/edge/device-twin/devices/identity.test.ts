import { expect, test } from "bun:test";
import { startHarness, type Harness } from "#internal/test/edge/device-twin/harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

function lamp(namespace: string, uid: string, value?: string): object {
  return {
    metadata: { name: "lamp", namespace, uid, resourceVersion: "7" },
    spec: {
      deviceModelRef: { name: "lamp-model" },
      nodeName: "ke-edge",
      protocol: { protocolName: "mqtt", configData: {} },
      properties: [{ name: "power", ...(value === undefined ? {} : { desired: { value } }) }],
    },
  };
}

function lampModel(setTopic: string): object {
  const visitors = { protocolName: "mqtt", configData: { setTopic } };
  return {
    metadata: { name: "lamp-model", namespace: "default" },
    spec: { properties: [{ name: "power", visitors }] },
  };
}

function report(node: Harness, device: string, value: string): Promise<void> {
  return node.send(`$hw/events/device/${device}/twin/update`, { twin: { power: { actual: { value } } } });
}

function values(node: Harness): string[] {
  return [...node.store.twins.each()].map(({ deviceId, actual }) => `${deviceId} ${actual}`);
}

test("two devices of one name in two namespaces are two, and stay so when one is removed", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(lamp("a", "1"));
  await node.addDevice(lamp("b", "2"));
  await report(node, "a/lamp", "one");
  await report(node, "b/lamp", "two");
  expect(values(node)).toEqual(["b/lamp two", "lamp one"]);

  await node.bus.port<never, "device.changed">("test").ask("device.changed", {
    type: "device",
    namespace: "a",
    name: "lamp",
    object: undefined,
  });
  node.take();
  // The cloud's word for the one that is left is its name now.
  await node.deliver("membership/detail", { devices: [{ id: "lamp", name: "lamp" }] });
  expect(values(node)).toEqual(["b/lamp two"]);
  expect(node.take()).toEqual([]);
  await node.deliver("membership", { removed_devices: [{ id: "lamp", name: "lamp" }] });
  expect(values(node)).toEqual([]);
});

test("a device is the same when the cloud begins to name its namespace", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(lamp("default", "1"));
  await report(node, "lamp", "one");
  node.take();
  await node.deliver("membership/detail", { devices: [{ id: "default/lamp", name: "lamp" }] });
  expect(values(node)).toEqual(["lamp one"]);
  expect(node.take()).toEqual([]);
});

test("a device created again under its name starts without twins, and its reports have its uid", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(lamp("default", "old", "1"));
  await report(node, "lamp", "before");
  await node.addDevice(lamp("default", "new", "1"));
  expect(values(node)).toEqual(["lamp null"]);
  await report(node, "lamp", "after");
  expect(node.outbox().map(({ content }) => content)).toMatchObject([
    { device_uid: "old", twin: { power: { actual: { value: "before" } } } },
    { device_uid: "new", twin: { power: { actual: { value: "after" } } } },
  ]);
});

test("documents and deltas go to every spelling that clients of the device use", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(lamp("default", "1"));
  await report(node, "lamp", "0");
  await node.send("$hw/events/device/default/lamp/twin/get", {});
  node.take();
  await node.addDevice(lamp("default", "1", "1"));
  expect(node.take().map(({ topic }) => topic)).toEqual([
    "$hw/events/device/lamp/twin/update/document",
    "$hw/events/device/lamp/twin/update/delta",
    "$hw/events/device/default/lamp/twin/update/document",
    "$hw/events/device/default/lamp/twin/update/delta",
  ]);
});

test("a plain device gets its desired value when the model with the topic arrives late or changes", async () => {
  using dir = tempDir();
  const commands = (node: Harness): string[] =>
    node.published
      .filter(({ topic }) => !topic.startsWith("$"))
      .map(({ topic, payload }) => `${topic} ${Buffer.from(payload).toString()}`);
  {
    await using node = await startHarness(dir.path);
    await node.addDevice(lamp("default", "1", "ON"));
    expect(commands(node)).toEqual([]);
    await node.addDevice(lampModel("set/{name}"));
    await node.addDevice(lampModel("set/{name}"));
    await node.addDevice(lampModel("told/{name}"));
    await node.addDevice(lamp("default", "1", "ON"));
    expect(commands(node)).toEqual(["set/lamp ON", "told/lamp ON"]);
  }
  await using again = await startHarness(dir.path);
  expect(commands(again)).toEqual([]);
});

test("fields that cannot be used are recorded once as an Event on the Device or its model", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  const bad = { ...lampModel("set/#"), metadata: { name: "lamp-model", namespace: "default", uid: "m" } };
  await node.addDevice(bad);
  await node.addDevice(lamp("default", "1"));
  await node.addDevice(lamp("default", "1", "ON"));
  const own = lamp("default", "1") as { spec: { properties: object[] } };
  own.spec.properties = [{ name: "power", visitors: { configData: { setTopic: 5 } } }];
  await node.addDevice(own);
  await node.addDevice(lampModel("set/ok"));
  const field = "spec.properties[0].visitors.configData.setTopic";
  expect(node.events).toMatchObject([
    {
      reason: "UnusableConfigData",
      type: "Warning",
      involvedObject: { kind: "DeviceModel", name: "lamp-model", uid: "m" },
      message: `Cannot use ${field}: "set/#": must be an MQTT topic without wildcards`,
    },
    {
      involvedObject: { kind: "Device", name: "lamp", uid: "1" },
      message: `Cannot use ${field}: 5: must be a text`,
    },
  ]);
});

test("a Device gets one Event when its model begins to contradict it", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, {}, clock);
  const narrow = (maximum: string): object => ({
    metadata: { name: "lamp-model", namespace: "default" },
    spec: { properties: [{ name: "power", type: "INT", accessMode: "ReadWrite", maximum }] },
  });
  await node.addDevice(narrow("10"));
  await node.addDevice(lamp("default", "1", "7"));
  expect(node.events).toEqual([]);
  await node.addDevice(narrow("5"));
  await node.addDevice(narrow("5"));
  await clock.advance(5000);
  expect(node.events).toMatchObject([
    {
      reason: "ContradictsModel",
      involvedObject: { kind: "Device", namespace: "default", name: "lamp", uid: "1" },
      metadata: { namespace: "default" },
      message: 'spec.properties[0].desired.value: Invalid value: "7": must be at most 5',
    },
  ]);
});

test("a Device that arrives before the new version of its model contradicts nothing", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, {}, clock);
  const model = (...names: readonly string[]): object => ({
    metadata: { name: "lamp-model", namespace: "default" },
    spec: { properties: names.map((name) => ({ name, type: "INT", accessMode: "ReadWrite" })) },
  });
  await node.addDevice(model("other"));
  await node.addDevice(lamp("default", "1", "7"));
  await clock.advance(1000);
  await node.addDevice(model("other", "power"));
  await clock.advance(60_000);
  expect(node.events).toEqual([]);
});

test("a device that is added again is reported as it is, and one in the list of members is not", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(lamp("default", "1", "on"));
  await report(node, "lamp", "42");
  await node.send("$hw/events/device/lamp/state/update", { state: "online" });
  const before = node.outbox().length;
  const member = { id: "lamp", name: "lamp" };
  await node.deliver("membership/detail", { devices: [member] });
  expect(node.outbox().length).toBe(before);
  await node.deliver("membership", { added_devices: [member] });
  // Both take the place of those that wait.
  expect(node.outbox().length).toBe(before);
  const [twins, state] = node.outbox().slice(-2);
  expect(twins).toMatchObject({
    resource: "device/lamp/twin/edge_updated",
    content: { device_uid: "1", twin: { power: { actual: { value: "42" }, expected: { value: "on" } } } },
  });
  expect(JSON.parse(String(state?.content))).toMatchObject({ device: { name: "lamp", state: "online" } });
});

const member = (namespace: string, uid: string, id = "lamp"): object => ({
  id,
  name: "lamp",
  namespace,
  uid,
});

test("a member that names its namespace is the device of that namespace, whatever its id", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.deliver("membership", { added_devices: [member("b", "2")] });
  await node.deliver("membership", { added_devices: [member("a", "1"), member("b", "2", "b/lamp")] });
  await node.addDevice(lamp("a", "1"));
  await node.addDevice(lamp("b", "2"));
  await report(node, "a/lamp", "one");
  await report(node, "b/lamp", "two");
  expect(values(node)).toEqual(["a/lamp one", "lamp two"]);
  expect(node.outbox().map(({ content }) => content)).toMatchObject([
    { device_uid: "1", twin: { power: { actual: { value: "one" } } } },
    { device_uid: "2", twin: { power: { actual: { value: "two" } } } },
  ]);

  const listed = [member("a", "1", "lamp"), member("b", "2", "b/lamp")];
  await node.deliver("membership/detail", { devices: listed });
  expect(values(node)).toEqual(["a/lamp one", "lamp two"]);
  await node.deliver("membership", { removed_devices: [member("a", "1", "lamp")] });
  expect(values(node)).toEqual(["lamp two"]);
});

test("a member with another uid replaces the device, and a late removal of the old one leaves it", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(lamp("a", "old"));
  await report(node, "lamp", "before");
  await node.deliver("membership", { added_devices: [member("a", "new")] });
  expect(values(node)).toEqual([]);
  await node.addDevice(lamp("a", "new"));
  await report(node, "lamp", "after");
  await node.deliver("membership", { removed_devices: [member("a", "old")] });
  expect(values(node)).toEqual(["lamp after"]);
});

test("a state has the uid of its Device for the cloud, and not on the broker", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(lamp("default", "1"));
  node.take();
  await node.send("$hw/events/device/lamp/state/update", { state: "online" });
  const [report] = node.outbox();
  expect(JSON.parse(report?.content as string)).toMatchObject({
    device: { state: "online" },
    device_uid: "1",
  });
  expect(node.take().map(({ payload }) => Object.keys(payload))).toEqual([
    ["event_id", "timestamp", "device"],
  ]);
});
