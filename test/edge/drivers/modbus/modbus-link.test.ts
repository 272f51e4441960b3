import { expect, test } from "bun:test";
import { ConfigFields } from "#edge/drivers/config";
import { driver } from "#edge/drivers/modbus";
import type { Link, Point, PropertyKind } from "#edge/drivers/driver";
import { systemClock } from "#shared/clock";
import { startSimulator, type Simulator } from "./simulator.ts";

type Connection = NonNullable<ReturnType<typeof driver.connection>>;
type Place = NonNullable<ReturnType<typeof driver.place>>;

const never = new AbortController().signal;

function fieldsOf(config: Readonly<Record<string, unknown>>): ConfigFields {
  return new ConfigFields([{ kind: "Device", path: "configData", config }]);
}

function connectionTo({ port }: Pick<Simulator, "port">): Connection {
  const fields = fieldsOf({ communicateMode: "TCP", ip: "127.0.0.1", port: String(port), slaveID: 1 });
  const connection = driver.connection(fields);
  expect(fields.problems).toEqual([]);
  if (!connection) throw new Error("no connection");
  return connection;
}

function point(name: string, config: object, kind: Partial<PropertyKind> = {}): Point<Place> {
  const property = { name, type: "int", isBinary: false, isSigned: false, ...kind };
  const fields = fieldsOf({ register: "HoldingRegister", ...config });
  const place = driver.place(fields, property);
  expect(fields.problems).toEqual([]);
  if (!place) throw new Error("no place");
  return { property, place };
}

function open(connection: Connection): Promise<Link<Connection, Place>> {
  return driver.open(connection, { clock: systemClock, signal: never });
}

test("properties side by side are read in one request, each table by itself", async () => {
  await using device = await startSimulator();
  device.holding.set(0, 215).set(1, 0x0001).set(2, 0x86a0).set(9, 7).set(100, 42);
  device.input.set(0, 0xffce);
  device.coils.set(3, true);
  const connection = connectionTo(device);
  await using link = await open(connection);
  const readings = await link.read(
    connection,
    [
      point("temperature", { offset: 0, limit: 1, scale: 0.1 }, { type: "float" }),
      point("counter", { offset: 1, limit: 2 }),
      point("near", { offset: 9 }),
      point("far", { offset: 100 }),
      point("outside", { register: "InputRegister", offset: 0 }, { isSigned: true }),
      point("pump", { register: "CoilRegister", offset: 3 }, { type: "boolean" }),
    ],
    never,
  );
  expect(readings).toEqual([
    { value: "21.5" },
    { value: "100000" },
    { value: "7" },
    { value: "42" },
    { value: "-50" },
    { value: "true" },
  ]);
  expect(device.requests).toEqual(["holding 0 10", "holding 100 1", "input 0 1"]);
});

test("a register that the device refuses spoils no other, and is asked for alone from then on", async () => {
  await using device = await startSimulator();
  device.holding.set(0, 1).set(2, 3);
  device.refused.add(1);
  const connection = connectionTo(device);
  await using link = await open(connection);
  const points = [point("a", { offset: 0 }), point("b", { offset: 1 }), point("c", { offset: 2 })];
  const first = await link.read(connection, points, never);
  expect(first).toEqual([
    { value: "1" },
    { problem: "Modbus exception 2: Illegal data address (register not supported by device)" },
    { value: "3" },
  ]);
  device.requests.length = 0;
  expect(await link.read(connection, points, never)).toEqual(first);
  expect(device.requests).toEqual(["holding 0 1", "holding 1 1", "holding 2 1"]);
});

test("values are written to one register, to several and to coils, and refused where they do not fit", async () => {
  await using device = await startSimulator();
  device.refused.add(50);
  const connection = connectionTo(device);
  await using link = await open(connection);
  const write = (one: Point<Place>, value: string): Promise<string | undefined> =>
    link.write(connection, one, value, never);
  expect(await write(point("set", { offset: 5, scale: 0.1, dataType: "int16" }), "-21.5")).toBeUndefined();
  expect(device.holding.get(5)).toBe(0xff29);
  expect(await write(point("big", { offset: 6, limit: 2, isRegisterSwap: true }), "100000")).toBeUndefined();
  expect([device.holding.get(6), device.holding.get(7)]).toEqual([0x86a0, 0x0001]);
  expect(await write(point("pump", { register: "CoilRegister", offset: 3 }), "true")).toBeUndefined();
  expect(device.coils.get(3)).toBe(true);
  expect(await write(point("set", { offset: 5 }), "65536")).toBe('"65536" of set does not fit uint16');
  expect(await write(point("in", { register: "InputRegister", offset: 5 }), "1")).toBe(
    "InputRegister cannot be written",
  );
  expect(await write(point("no", { offset: 50 }), "1")).toContain("Illegal data address");
});

test("a device that is not there, and one that disconnects, reject", async () => {
  const device = await startSimulator();
  const connection = connectionTo(device);
  const link = await open(connection);
  expect(await link.read(connection, [point("a", { offset: 0 })], never)).toEqual([{ value: "0" }]);
  await device[Symbol.asyncDispose]();
  await expect(link.read(connection, [point("a", { offset: 0 })], never)).rejects.toThrow();
  await link[Symbol.asyncDispose]();
  // Nobody listens on the first port, whereas others may take the one that is free now.
  await expect(open(connectionTo({ port: 1 }))).rejects.toThrow("ECONNREFUSED");
});
