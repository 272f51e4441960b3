import { expect, test } from "bun:test";
import { startHarness, type Harness } from "#internal/test/edge/device-twin/harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

interface Property {
  readonly name: string;
  readonly desired?: string;
  readonly config?: Readonly<Record<string, unknown>>;
}

function plug(properties: readonly Property[], uid = "1"): object {
  return {
    metadata: { name: "plug", namespace: "default", uid, resourceVersion: "7" },
    spec: {
      deviceModelRef: { name: "" },
      nodeName: "ke-edge",
      protocol: { protocolName: "mqtt", configData: {} },
      properties: properties.map(({ name, desired, config = {} }) => ({
        name,
        visitors: { protocolName: "mqtt", configData: config },
        ...(desired === undefined ? {} : { desired: { value: desired } }),
      })),
    },
  };
}

const relay = (desired?: string, config: object = {}): Property => ({
  name: "relay",
  ...(desired === undefined ? {} : { desired }),
  config: { topic: "stat/POWER", setTopic: "cmnd/POWER", setRetain: true, ...config },
});

/** Commands since the last call: `topic payload`, those that brokers keep with an `r`. */
function commands(node: Harness): string[] {
  const all = node.published.splice(0);
  return all
    .filter(({ topic }) => topic.startsWith("cmnd/"))
    .map(({ topic, payload, retain }) => `${topic} ${Buffer.from(payload).toString()}${retain ? " r" : ""}`);
}

test("a retained command is cleared when nothing is desired, and when its Device is deleted", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(plug([relay("on")]));
  expect(commands(node)).toEqual(["cmnd/POWER on r"]);
  await node.addDevice(plug([relay()]));
  expect(commands(node)).toEqual(["cmnd/POWER  r"]);
  await node.addDevice(plug([relay("off")]));
  expect(commands(node)).toEqual(["cmnd/POWER off r"]);
  await node.addDevice(plug([relay("off", { setTopic: "cmnd/other" })]));
  expect(commands(node)).toEqual(["cmnd/POWER  r", "cmnd/other off r"]);
  await node.deliver("membership", {
    removed_devices: [{ id: "plug", name: "plug", namespace: "default", uid: "1" }],
  });
  expect(commands(node)).toEqual(["cmnd/other  r"]);
});

test("a command that is not retained is not cleared", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(plug([relay("on", { setRetain: false })]));
  await node.addDevice(plug([relay("", { setRetain: false })]));
  expect(commands(node)).toEqual(["cmnd/POWER on"]);
});

test("a command that shares its topic stays when the other one is cleared", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  const two = (first: string | undefined): Property[] => [
    relay(first),
    { name: "level", desired: "7", config: { setTopic: "cmnd/POWER", setRetain: true } },
  ];
  await node.addDevice(plug(two("on")));
  expect(commands(node)).toEqual(["cmnd/POWER on r", "cmnd/POWER 7 r"]);
  await node.addDevice(plug(two(undefined)));
  expect(commands(node)).toEqual(["cmnd/POWER 7 r"]);
});

test("a plain device that reports another value than the desired one gets the command again, but not with each report", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, {}, clock);
  await node.addDevice(plug([relay("on"), { name: "power", config: { topic: "stat/power" } }]));
  commands(node);
  const sent: string[][] = [];
  for (const seconds of [0, 20, 15, 10, 25]) {
    await clock.advance(seconds * 1000);
    await node.send("stat/power", "5");
    await node.send("stat/POWER", "off");
    sent.push(commands(node));
  }
  expect(sent).toEqual([[], [], ["cmnd/POWER on r"], [], ["cmnd/POWER on r"]]);
  await node.send("stat/POWER", "on");
  await clock.advance(60_000);
  await node.send("stat/power", "6");
  expect(commands(node)).toEqual([]);
});

test("a twin is deleted with the property that lists it, and one made by a client stays", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  const names = (): string[] => [...node.store.twins.each()].map(({ name }) => name);
  const meter = (model: string): object => {
    const { metadata, spec } = plug([{ name: "own" }]) as { metadata: object; spec: object };
    return { metadata, spec: { ...spec, deviceModelRef: { name: model } } };
  };
  const model = (name: string, property: string): object => ({
    metadata: { name, namespace: "default" },
    spec: { properties: [{ name: property, type: "FLOAT" }] },
  });
  await node.addDevice(model("old", "temperature"));
  await node.addDevice(meter("old"));
  const twin = Object.fromEntries(
    ["own", "temperature", "invented"].map((name) => [name, { actual: { value: "1" } }]),
  );
  await node.send("$hw/events/device/plug/twin/update", { twin });
  expect(names()).toEqual(["invented", "own", "temperature"]);
  // The model it names now is not here yet.
  await node.addDevice(meter("new"));
  expect(names()).toEqual(["invented", "own", "temperature"]);
  await node.addDevice(model("new", "humidity"));
  expect(names()).toEqual(["invented", "own"]);
});

test("the cloud learns which desired values the node has observed, also of those that were removed", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(plug([relay("on")]));
  await node.addDevice(plug([relay("on")]));
  expect(node.outbox().map(({ resource, content }) => [resource, content])).toMatchObject([
    ["device/plug/twin/edge_updated", { device_uid: "1", twin: { relay: { expected: { value: "on" } } } }],
  ]);
  await node.addDevice(plug([relay()]));
  expect(node.outbox().map(({ resource, content }) => [resource, content])).toMatchObject([
    ["device/plug/twin/edge_updated", { device_uid: "1", twin: { relay: { metadata: { type: "string" } } } }],
  ]);
  const [[, last] = []] = node.outbox().map(({ resource, content }) => [resource, content]);
  expect(Object.keys((last as { twin: { relay: object } }).twin.relay)).toEqual(["optional", "metadata"]);
});
