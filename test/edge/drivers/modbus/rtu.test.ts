import { expect, test } from "bun:test";
import { rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { ConfigFields } from "#edge/drivers/config";
import { driver } from "#edge/drivers/modbus";
import { systemClock } from "#shared/clock";
import { needs } from "#internal/test/support/needs.ts";

const canRun = needs({ root: process.getuid?.() === 0, python3: Bun.which("python3") !== null });

interface Slave extends AsyncDisposable {
  readonly path: string;
}

async function startSlave(): Promise<Slave> {
  const child = Bun.spawn(["python3", join(import.meta.dir, "rtu_slave.py")], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  // Pseudo terminals themselves are refused.
  const path = `/dev/ttyKubeedge${child.pid}`;
  symlinkSync(
    Buffer.from(value ?? [])
      .toString()
      .trim(),
    path,
  );
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      rmSync(path, { force: true });
      child.kill();
      await child.exited;
    },
  };
}

function read<T>(
  make: (fields: ConfigFields) => T | undefined,
  config: Readonly<Record<string, unknown>>,
): T {
  const fields = new ConfigFields([{ kind: "Device", path: "configData", config }]);
  const value = make(fields);
  expect(fields.problems).toEqual([]);
  if (value === undefined) throw new Error("not read");
  return value;
}

const never = new AbortController().signal;
const property = { name: "temp", type: "int", isBinary: false, isSigned: false };
const at = (offset: number) => ({
  property,
  place: read((fields) => driver.place(fields, property), { register: "HoldingRegister", offset }),
});

test.skipIf(!canRun)(
  "devices on a serial line are read and written, with noise on the line and after an answer that did not come",
  async () => {
    await using slave = await startSlave();
    const connection = read(driver.connection, {
      serialPort: slave.path,
      baudRate: 9600,
      slaveID: 7,
      timeout: 20_000,
    });
    await using link = await driver.open(connection, { clock: systemClock, signal: never });
    expect(await link.read(connection, [at(1), at(2)], never)).toEqual([{ value: "101" }, { value: "102" }]);
    expect(await link.write(connection, at(2), "7", never)).toBeUndefined();
    expect(await link.read(connection, [at(2)], never)).toEqual([{ value: "7" }]);
    const hurried = { ...connection, timeoutMs: 200 };
    await expect(link.read(hurried, [at(200)], never)).rejects.toThrow("unit 7: no answer within 200 ms");
    expect(await link.read(connection, [at(201)], never)).toEqual([
      { problem: "Modbus exception 2: Illegal data address (register not supported by device)" },
    ]);
    expect(await link.read(connection, [at(1)], never)).toEqual([{ value: "101" }]);
  },
);

test.skipIf(!canRun)("a line that is not there, and one that disconnects, reject", async () => {
  const slave = await startSlave();
  const connection = read(driver.connection, { serialPort: slave.path, slaveID: 7, timeout: 5_000 });
  await using link = await driver.open(connection, { clock: systemClock, signal: never });
  expect(await link.read(connection, [at(1)], never)).toEqual([{ value: "101" }]);
  await slave[Symbol.asyncDispose]();
  await expect(link.read(connection, [at(1)], never)).rejects.toThrow();
  const missing = read(driver.connection, { serialPort: "/dev/ttyNone0" });
  await expect(driver.open(missing, { clock: systemClock, signal: never })).rejects.toThrow(
    "cannot set up /dev/ttyNone0",
  );
});
