import { expect, test } from "bun:test";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { Bus } from "#shared/bus";
import type { EdgeCatalog } from "#shared/topics";
import { openStore, type Store } from "#edge/store";
import { defaultHistory, startDeviceTwin } from "#edge/device-twin";
import { connectPacket, openRaw, publishPacket } from "#internal/test/edge/mqtt/broker/raw-client.ts";
import { externalAt } from "#internal/test/edge/mqtt/event-bus/scripted-broker.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { freePort, hasMosquitto, startMosquitto } from "#internal/test/support/machine/mosquitto.ts";
import { objectFrom } from "#internal/test/support/edge/over-the-wire.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startHarness, thermo, thermoModel } from "#internal/test/edge/device-twin/harness.ts";
import { startNode } from "#internal/test/edge/device-twin/whole-node.ts";

const full = (): never => {
  throw new Error("database or disk is full");
};

/** @returns what makes room again */
function fillDisk(store: Store): () => void {
  const { transaction } = store;
  Object.assign(store, { transaction: full });
  return () => void Object.assign(store, { transaction });
}

/** The thermometer of the harness as one that knows nothing of twins. */
function plain(): object {
  const visitors = { protocolName: "mqtt", configData: { topic: "thermo" } };
  const { spec, ...rest } = thermo() as { readonly spec: object };
  return { ...rest, spec: { ...spec, properties: [{ name: "temperature", visitors }] } };
}

async function until(check: () => boolean): Promise<void> {
  for (let n = 0; n < 500 && !check(); n += 1) await Bun.sleep(20);
  expect(check()).toBe(true);
}

const outcomeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "confirmed",
    () => "refused",
  );

test.each([
  ["an upload", "$ke/events/thermo-1/upload", { a: 1 }],
  ["a report of a plain device", "thermo", "21"],
  ["a state", "$hw/events/device/thermo-1/state/update", { state: "online" }],
])("device twin does not acknowledge %s when the disk is full", async (_name, topic, payload) => {
  using dir = tempDir();
  await using edge = await startHarness(dir.path);
  await edge.addDevice(thermoModel);
  await edge.addDevice(plain());
  edge.take();
  const empty = fillDisk(edge.store);
  expect(await outcomeOf(edge.send(topic, payload))).toBe("refused");
  empty();
  expect({ published: edge.take(), waiting: edge.outbox() }).toEqual({ published: [], waiting: [] });
});

test("device twin logs once a minute that the disk is full, however many messages arrive", async () => {
  using dir = tempDir();
  await using node = await startNode(dir.path);
  const port = node.bus.port<never, "mqtt.received">("broker");
  const empty = fillDisk(node.store);
  for (let n = 0; n < 100; n += 1)
    await outcomeOf(port.ask("mqtt.received", { topic: "$ke/events/d/upload", payload: Buffer.from("1") }));
  empty();
  expect(node.log.lines.filter((line) => line.includes("cannot store device changes")).length).toBe(1);
});

test("device twin acknowledges an update that it has refused with code 500", async () => {
  using dir = tempDir();
  await using edge = await startHarness(dir.path);
  await edge.addDevice(thermo());
  edge.take();
  const empty = fillDisk(edge.store);
  const update = { event_id: "e", twin: { t: { actual: { value: "1" } } } };
  const outcome = await outcomeOf(edge.send("$hw/events/device/thermo-1/twin/update", update));
  empty();
  expect({ outcome, published: edge.take().map(({ payload }) => payload["code"]) }).toEqual({
    outcome: "confirmed",
    published: [500],
  });
});

test("device twin continues to read a plain device when its removal cannot be stored", async () => {
  using dir = tempDir();
  await using edge = await startHarness(dir.path);
  await edge.addDevice(thermoModel);
  await edge.addDevice(plain());
  const port = edge.bus.port<never, "device.changed" | "mqtt.filters">("test");
  const gone = { type: "device", namespace: "default", name: "thermo-1", object: undefined };
  const empty = fillDisk(edge.store);
  expect(await outcomeOf(port.ask("device.changed", gone))).toBe("refused");
  empty();
  await edge.send("thermo", "21");
  expect({
    filters: await port.ask("mqtt.filters", {}),
    reported: JSON.stringify(edge.outbox().at(-1)?.content).includes('"value":"21"'),
  }).toEqual({ filters: ["thermo"], reported: true });
});

test("device twin takes a device as new when it could not be stored before", async () => {
  using dir = tempDir();
  await using edge = await startHarness(dir.path);
  await edge.addDevice(thermoModel);
  const port = edge.bus.port<never, "mqtt.filters">("test");
  const empty = fillDisk(edge.store);
  expect(await outcomeOf(edge.addDevice(plain()))).toBe("refused");
  expect(await port.ask("mqtt.filters", {})).toEqual([]);
  empty();
  await edge.addDevice(plain());
  const membership = edge.take().filter(({ topic }) => topic.endsWith("/membership/updated"));
  expect({ published: membership.length, filters: await port.ask("mqtt.filters", {}) }).toEqual({
    published: 1,
    filters: ["thermo"],
  });
});

test("device twin replaces a device of the same name when it could not be removed at first", async () => {
  using dir = tempDir();
  await using edge = await startHarness(dir.path);
  await edge.addDevice(thermo());
  await edge.send("$hw/events/device/thermo-1/twin/update", { twin: { t: { actual: { value: "1" } } } });
  const other = thermo() as { readonly metadata: object };
  const again = { ...other, metadata: { ...other.metadata, uid: "another" } };
  const empty = fillDisk(edge.store);
  expect(await outcomeOf(edge.addDevice(again))).toBe("refused");
  empty();
  await edge.addDevice(again);
  edge.take();
  await edge.send("$hw/events/device/thermo-1/twin/get", { event_id: "e" });
  expect(edge.take().at(-1)?.payload["twin"]).toEqual({});
});

test("device twin offers a device it found when it could not be stored before", async () => {
  using dir = tempDir();
  await using edge = await startHarness(dir.path, { discoveryPrefix: "homeassistant" });
  const announce = (): Promise<void> =>
    edge.send("homeassistant/sensor/plug/power/config", { state_topic: "plug/power", unique_id: "power" });
  const empty = fillDisk(edge.store);
  expect(await outcomeOf(announce())).toBe("refused");
  empty();
  await announce();
  expect(edge.outbox()).toMatchObject([{ resource: "device/plug/discovered", operation: "insert" }]);
});

test("device twin restores its devices as soon as there is room when the disk is full at start", async () => {
  using dir = tempDir();
  const database = join(dir.path, "edge.db");
  {
    using store = openStore(database);
    const value = JSON.stringify(thermo());
    store.metas.put({ key: "default/device/thermo-1", type: "device", value });
  }
  using store = openStore(database);
  const empty = fillDisk(store);
  const bus = new Bus<EdgeCatalog>({ onFailure: () => undefined });
  const config = { node: "n", history: defaultHistory, outboxLimitBytes: 1e8, query: undefined };
  const clock = new FakeClock();
  const parts = { port: bus.port("devicetwin"), store, clock, log: silentLog() } as never;
  await using _twin = await startDeviceTwin(config, parts);
  empty();
  await clock.advance(5000);
  await until(() => store.devices.list().length === 1);
});

test("device twin continues when the disk is too full to trim its history", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using edge = await startHarness(dir.path, {}, clock);
  let tries = 0;
  Object.assign(edge.store.telemetry, {
    trim: () => {
      tries += 1;
      return full();
    },
  });
  await clock.advance(120_000);
  expect(tries).toBe(2);
});

test("the limit of the outbox counts bytes, not characters", async () => {
  using dir = tempDir();
  const [limit, size] = [160_000, 9000];
  await using edge = await startHarness(dir.path, { outboxLimitBytes: limit });
  let most = 0;
  for (let n = 0; n < 60; n += 1) {
    await edge.send("$ke/events/d/upload", "€".repeat(size / 3));
    await edge.twin.roomMade();
    most = Math.max(most, edge.store.outbox.size().bytes);
  }
  expect(most).toBeLessThan(limit + limit / 16 + size);
});

test("the built-in broker does not acknowledge an upload when the disk is full", async () => {
  using dir = tempDir();
  await using node = await startNode(dir.path);
  using client = await openRaw(node.eventBus.mqttPort);
  client.send(connectPacket("c"));
  await client.next();
  const empty = fillDisk(node.store);
  client.send(publishPacket("$ke/events/d1/upload", 1, 1));
  const answer = await Promise.race([
    client.next().then(({ cmd }) => cmd),
    client.closed.then(() => "closed"),
  ]);
  empty();
  expect({ answer, stored: node.store.outbox.size().entries }).toEqual({ answer: "closed", stored: 0 });
});

test.skipIf(!hasMosquitto())("an external broker keeps an upload until the disk takes it", async () => {
  using dir = tempDir();
  const port = await freePort();
  await using _broker = await startMosquitto(dir.path, port);
  await using node = await startNode(dir.path, { external: externalAt(port) });
  await until(() => node.eventBus.externalConnected());
  const empty = fillDisk(node.store);
  const device = await connectAsync(`mqtt://127.0.0.1:${port}`);
  await device.publishAsync("$ke/events/d1/upload", "precious", { qos: 1 });
  await until(() => node.log.lines.some((line) => line.includes("cannot store device changes")));
  empty();
  await until(() => node.store.outbox.size().entries > 0);
  expect(node.store.outbox.listAfter(0, 10).map(({ message }) => message)).toMatchObject([
    expect.stringContaining("precious"),
  ]);
  await device.endAsync();
});

test("a Device is not acknowledged to the cloud before its twins are stored", async () => {
  using dir = tempDir();
  await using node = await startNode(dir.path);
  const cloud = node.bus.port<never, "object.deliver">("edgehub");
  const deliver = (): Promise<unknown> =>
    cloud.ask(
      "object.deliver",
      objectFrom({
        source: "devicecontroller",
        operation: "insert",
        resource: "default/device/thermo-1",
        content: thermo(),
      }),
    );
  const { put } = node.store.devices;
  Object.assign(node.store.devices, { put: full });
  const before = await outcomeOf(deliver());
  Object.assign(node.store.devices, { put });
  expect({ before, after: await deliver() }).toEqual({ before: "refused", after: { ack: true } });
  expect(node.store.devices.list().map(({ id }) => id)).toEqual(["thermo-1"]);
});
