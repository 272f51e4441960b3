import { expect, test } from "bun:test";
import { systemClock, type Clock } from "#shared/clock";
import { startDrivers, type DriversPort } from "#edge/drivers";
import { startHarness, type Harness } from "#internal/test/edge/device-twin/harness.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startSimulator } from "./modbus/simulator.ts";

const cycleMs = 50;

function boilerModel(change: object = {}): object {
  return {
    metadata: { name: "boiler", namespace: "default", uid: "m", resourceVersion: "1" },
    spec: {
      protocol: "modbus",
      properties: [
        { name: "temperature", type: "FLOAT", accessMode: "ReadOnly" },
        { name: "target", type: "INT", accessMode: "ReadWrite" },
        { name: "pump", type: "BOOLEAN", accessMode: "ReadWrite" },
      ],
      ...change,
    },
  };
}

const visitors = {
  temperature: { register: "InputRegister", offset: 0, limit: 1, scale: 0.1 },
  target: { register: "HoldingRegister", offset: 2 },
  pump: { register: "CoilRegister", offset: 4 },
};

function boiler(port: number, desired: Record<string, string> = {}, config: object = visitors): object {
  return {
    metadata: { name: "boiler-1", namespace: "default", uid: "d", resourceVersion: "2" },
    spec: {
      deviceModelRef: { name: "boiler" },
      nodeName: "ke-edge",
      protocol: { protocolName: "modbus", configData: { ip: "127.0.0.1", port: String(port), slaveID: 1 } },
      properties: Object.entries(config).map(([name, configData]) => ({
        name,
        collectCycle: cycleMs,
        visitors: { protocolName: "modbus", configData },
        ...(name in desired ? { desired: { value: desired[name] } } : {}),
      })),
    },
  };
}

interface Node extends AsyncDisposable {
  readonly twin: Harness;
  /** Stores a Device or DeviceModel, as the cloud does. */
  put(object: object): Promise<void>;
  value(property: string): string | undefined;
  state(): string | undefined;
}

async function startNode(directory: string, hasMapper: () => boolean = () => false): Promise<Node> {
  await using stack = new AsyncDisposableStack();
  const twin = stack.use(await startHarness(directory));
  const port: DriversPort = twin.bus.port("drivers");
  const clock: Clock = systemClock;
  const { store } = twin;
  const show = twin.twin.show;
  stack.use(
    await startDrivers(
      { node: "ke-edge", disabled: [] },
      { port, store, show, hasMapper, clock, log: silentLog() },
    ),
  );
  const cloud = twin.bus.port<"object.stored">("cloud");
  const owned = stack.move();
  const shown = () => twin.twin.show(boiler(0) as never).status;
  return {
    twin,
    put: async (object) => {
      await twin.addDevice(object);
      const { metadata, spec } = object as { metadata: { name: string; namespace: string }; spec: object };
      const type = "deviceModelRef" in spec ? "device" : "devicemodel";
      await cloud.emit("object.stored", { type, namespace: metadata.namespace, name: metadata.name });
    },
    value: (property) =>
      shown()?.twins?.find(({ propertyName }) => propertyName === property)?.reported?.value,
    state: () => shown()?.state,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Settles when `check` passes; tests wait for what devices do in their own time. */
async function until(check: () => boolean): Promise<void> {
  for (;;) {
    if (check()) return;
    await systemClock.sleep(10);
  }
}

test("a Modbus device is read, follows its desired values, and goes offline and online", async () => {
  using dir = tempDir();
  await using node = await startNode(dir.path);
  let device = await startSimulator();
  device.input.set(0, 215);
  device.holding.set(2, 10);
  const { port } = device;
  await node.put(boilerModel());
  await node.put(boiler(port, { target: "21", pump: "true", temperature: "30" }));
  await until(() => node.value("temperature") === "21.5" && node.value("target") === "21");
  await until(() => node.value("pump") === "true");
  expect(node.state()).toBe("online");
  expect(device.holding.get(2)).toBe(21);
  expect(device.coils.get(4)).toBe(true);
  device.input.set(0, 220);
  await until(() => node.value("temperature") === "22");

  await device[Symbol.asyncDispose]();
  await until(() => node.state() === "offline");
  await until(() => node.twin.events.some(({ reason }) => reason === "DeviceUnreachable"));
  device = await startSimulator(port);
  device.input.set(0, 230);
  await until(() => node.value("temperature") === "23" && node.state() === "online");
  // The device has forgotten its target.
  await until(() => device.holding.get(2) === 21);
  await device[Symbol.asyncDispose]();
});

test("what cannot be used is an Event on the Device, and the rest works", async () => {
  using dir = tempDir();
  await using device = await startSimulator();
  await using node = await startNode(dir.path);
  device.holding.set(2, 5);
  device.refused.add(9);
  await node.put(boilerModel());
  const config = {
    target: visitors.target,
    temperature: { register: "InptRegister", offset: 0 },
    pump: { register: "HoldingRegister", offset: 9 },
  };
  await node.put(boiler(device.port, { target: "70000" }, config));
  await until(() => node.value("target") === "5");
  const messages = (): string[] => node.twin.events.map(({ reason, message }) => `${reason} ${message}`);
  await until(() => messages().some((text) => text.includes("does not fit")));
  expect(messages().find((text) => text.startsWith("Unusable"))).toContain(
    'spec.properties[1].visitors.configData.register: "InptRegister": must be one of CoilRegister',
  );
  expect(messages().find((text) => text.startsWith("DeviceProblem"))).toContain("pump: Modbus exception 2");
  expect(messages().find((text) => text.includes("does not fit"))).toContain('"70000" of target');
});

test("a device is left alone when it is deleted and when a mapper takes its protocol", async () => {
  using dir = tempDir();
  await using device = await startSimulator();
  let hasMapper = false;
  await using node = await startNode(dir.path, () => hasMapper);
  await node.put(boilerModel());
  await node.put(boiler(device.port));
  await until(() => device.requests.length > 2);
  hasMapper = true;
  await node.twin.bus.port<"mapper.registered">("dmi").emit("mapper.registered", { protocol: "modbus" });
  await systemClock.sleep(2 * cycleMs);
  device.requests.length = 0;
  await systemClock.sleep(4 * cycleMs);
  expect(device.requests).toEqual([]);
});
