import { expect, test } from "bun:test";
import { ConfigFields } from "#edge/drivers/config";
import { driver } from "#edge/drivers/modbus";
import type { PropertyKind } from "#edge/drivers/driver";

const property: PropertyKind = { name: "temp", type: "int", isBinary: false, isSigned: false };

function problemsOf(
  read: (fields: ConfigFields) => unknown,
  config: Readonly<Record<string, unknown>>,
): string[] {
  const fields = new ConfigFields([{ kind: "Device", path: "configData", config }]);
  const value = read(fields);
  expect(value === undefined).toBe(fields.problems.length > 0);
  return fields.problems.map(({ field, problem }) => `${field} ${problem}`);
}

const connection = (config: Readonly<Record<string, unknown>>): string[] =>
  problemsOf(driver.connection, config);
const place = (config: Readonly<Record<string, unknown>>, kind: Partial<PropertyKind> = {}): string[] =>
  problemsOf((fields) => driver.place(fields, { ...property, ...kind }), config);

test("the samples of KubeEdge are taken as they are", () => {
  expect(connection({ communicateMode: "TCP", port: "5502", slaveID: 1, ip: "127.0.0.1" })).toEqual([]);
  expect(connection({ ip: "172.17.0.3", port: 1502 })).toEqual([]);
  expect(
    connection({
      communicateMode: "RTU",
      serialPort: "/dev/ttyS0",
      baudRate: 9600,
      dataBits: 8,
      parity: "even",
      stopBits: 1,
      slaveID: "1",
    }),
  ).toEqual([]);
  const visitor = { register: "HoldingRegister", offset: 2, limit: 1, scale: 1, isSwap: true };
  expect(place({ ...visitor, isRegisterSwap: true })).toEqual([]);
  expect(place({ ...visitor, dataType: "float", scale: 0.1 }, { type: "float" })).toEqual([]);
  expect(place({ register: "CoilRegister", offset: 2, limit: 1, scale: 1.0, isSwap: true })).toEqual([]);
});

test("a field that cannot be used is named with what it must be", () => {
  expect(connection({})).toEqual(['configData.ip is missing; it is needed, such as "192.168.1.50"']);
  expect(connection({ ip: "10.0.0.1", port: 70_000, slaveID: "one" })).toEqual([
    "configData.slaveID must be a number",
    "configData.port must be a whole number from 1 to 65535",
  ]);
  for (const path of [
    "/etc/passwd",
    "/dev/../etc/passwd",
    "/dev/pts/0",
    "/dev/tty",
    "/dev/tty1",
    "/dev/console",
    "/dev//pts/0",
  ])
    expect([path, ...connection({ serialPort: path })]).toEqual([
      path,
      "configData.serialPort must be the path of a serial port, such as /dev/ttyUSB0",
    ]);
  for (const path of [
    "/dev/ttyUSB0",
    "/dev/ttyS1",
    "/dev/serial/by-id/usb-FTDI_FT232R_A1-if00-port0",
    "/dev/rfcomm0",
  ])
    expect(connection({ serialPort: path })).toEqual([]);
  expect(place({ offset: 3 })).toEqual([
    "configData.register is missing; it is one of CoilRegister, DiscreteInputRegister, HoldingRegister, InputRegister",
  ]);
  expect(place({ register: "Holding", offset: -1, scale: "much" })).toEqual([
    "configData.register must be one of CoilRegister, DiscreteInputRegister, HoldingRegister, InputRegister",
    "configData.offset must be a whole number from 0 to 65535",
    "configData.scale must be a number",
  ]);
  expect(place({ register: "HoldingRegister", dataType: "float32", limit: 1 })).toEqual([
    "configData.limit must be 2 for float32, and not 1",
  ]);
  expect(place({ register: "CoilRegister", limit: 8 })).toEqual([
    "configData.limit must be 1: a coil or discrete input is one bit",
  ]);
  expect(place({ register: "InputRegister", offset: 65_535, limit: 2 })).toEqual([
    "configData.offset with its limit, goes beyond register 65535",
  ]);
});
