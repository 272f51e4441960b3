import { expect, test } from "bun:test";
import { startHarness, thermoModel, type Harness } from "#internal/test/edge/device-twin/harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

interface Fields {
  readonly reportCycle?: number;
  readonly reportToCloud?: boolean;
  readonly desired?: { readonly value: string };
}

const device = (fields: Fields, name = "temperature"): object => ({
  apiVersion: "devices.kubeedge.io/v1beta1",
  kind: "Device",
  metadata: { name: "thermo-1", namespace: "default", uid: "d", resourceVersion: "1" },
  spec: {
    deviceModelRef: { name: "thermo-model" },
    nodeName: "ke-edge",
    properties: [{ name, ...fields }],
    protocol: { protocolName: "modbus" },
  },
});

const report = (node: Harness, value: number, name = "temperature"): Promise<void> =>
  node.send("$hw/events/device/thermo-1/twin/update", {
    twin: { [name]: { actual: { value: `${value}` } } },
  });

/** The value that waits for the cloud, and removes it as if the cloud had answered. */
function takeReport(node: Harness, name = "temperature"): string | undefined {
  const { outbox } = node.store;
  const [last] = node.outbox().slice(-1);
  outbox.remove(outbox.listAfter(0, 100).map(({ id }) => id));
  const { twin } = (last?.content ?? {}) as { twin?: Record<string, { actual?: { value: string } }> };
  return twin?.[name]?.actual?.value;
}

const historyOf = (node: Harness): string[] =>
  node.store.telemetry
    .query({ deviceId: "thermo-1", name: "temperature", limit: 100 })
    .map(({ value }) => value);

test("a property with a cycle is reported at once, then with its newest value at the end of each cycle", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, {}, clock);
  await node.addDevice(thermoModel);
  await node.addDevice(device({ reportCycle: 10_000 }));
  await report(node, 1);
  expect(takeReport(node)).toBe("1");
  for (const value of [2, 3, 4]) {
    await report(node, value);
    await clock.advance(1000);
  }
  expect(takeReport(node)).toBeUndefined();
  expect(historyOf(node)).toEqual(["1", "2", "3", "4"]);
  await clock.advance(7000);
  expect(takeReport(node)).toBe("4");
  await clock.advance(30_000);
  expect(takeReport(node)).toBeUndefined();
  await report(node, 5);
  expect(takeReport(node)).toBe("5");
});

test("a cycle in nanoseconds, as samples of KubeEdge have it, is as long as in milliseconds", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, {}, clock);
  await node.addDevice(thermoModel);
  await node.addDevice(device({ reportCycle: 10_000_000_000 }));
  await report(node, 1);
  expect(takeReport(node)).toBe("1");
  await report(node, 2);
  await clock.advance(9_999);
  expect(takeReport(node)).toBeUndefined();
  await clock.advance(1);
  expect(takeReport(node)).toBe("2");
});

test("what waits for its cycle is reported when edgecore ends, and again after a start", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  {
    await using node = await startHarness(dir.path, {}, clock);
    await node.addDevice(thermoModel);
    await node.addDevice(device({ reportCycle: 10_000 }));
    await report(node, 1);
    takeReport(node);
    await report(node, 2);
  }
  await using node = await startHarness(dir.path, {}, clock);
  expect(takeReport(node)).toBe("2");
});

test("values of a property that is not reported to the cloud stay on the node, what is expected of it is shown", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice(thermoModel);
  await node.addDevice(device({ reportToCloud: false, desired: { value: "21" } }, "target"));
  expect(node.outbox().at(-1)?.content).toMatchObject({ twin: { target: { expected: { value: "21" } } } });
  takeReport(node);
  await report(node, 20, "target");
  const [only] = node.outbox();
  const { twin } = (only?.content ?? {}) as { twin?: { target: object } };
  expect(Object.keys(twin?.target ?? {}).sort()).toEqual([
    "expected",
    "expected_version",
    "metadata",
    "optional",
  ]);
  await node.addDevice(device({ reportToCloud: false }));
  takeReport(node);
  await report(node, 7);
  expect({ waits: node.outbox(), history: historyOf(node) }).toEqual({ waits: [], history: ["7"] });
});

test("buffered values that stay on the node do so after a kill as well", async () => {
  using dir = tempDir();
  using killed = tempDir();
  const at = (folder: string, end: string): string => `${folder}/edge.db${end}`;
  {
    await using node = await startHarness(dir.path, { flushMs: 1000 });
    await node.addDevice(thermoModel);
    await node.addDevice(device({ reportToCloud: false }));
    const payload = Buffer.from(JSON.stringify({ twin: { temperature: { actual: { value: "7" } } } }));
    const topic = "$hw/events/device/thermo-1/twin/update";
    await node.bus.port<never, "mqtt.received">("test").ask("mqtt.received", { topic, payload, qos: 0 });
    for (const end of ["", "-wal", "-values-a"])
      await Bun.write(at(killed.path, end), Bun.file(at(dir.path, end)));
  }
  await using again = await startHarness(killed.path, { flushMs: 1000 });
  expect({ waits: again.outbox(), history: historyOf(again) }).toEqual({ waits: [], history: ["7"] });
});
