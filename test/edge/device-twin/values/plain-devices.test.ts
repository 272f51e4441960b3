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
  expect(set?.retain).toBeUndefined();
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
