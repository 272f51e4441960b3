import ModbusRTU from "modbus-serial";
import type { Clock } from "#shared/clock";
import { describeError, UnavailableError } from "#shared/errors";
import { recordOf } from "#shared/json";
import { decodeValue, encodeValue } from "#edge/drivers/codec";
import type { Link, Point, Reading } from "#edge/drivers/driver";
import { blocksOf, type Block } from "./blocks.ts";
import type { ModbusConnection } from "./connection.ts";
import { isWritableTable, type ModbusPlace, type Table } from "./place.ts";
import { RtuPort } from "./rtu-port.ts";

/** Modbus exceptions that concern the request, and not the device: section 7 of the protocol. */
const refusals = new Set([1, 2, 3, 4]);

/** Reads and writes the registers of the devices on one line or behind one address. */
export class ModbusLink implements Link<ModbusConnection, ModbusPlace> {
  readonly #client: ModbusRTU;
  /** Places that the device refuses to give together with others. */
  readonly #alone = new Set<string>();

  private constructor(client: ModbusRTU) {
    this.#client = client;
  }

  /** @throws UnavailableError when nobody listens, or the line cannot be opened */
  static async open(connection: ModbusConnection, clock: Clock): Promise<ModbusLink> {
    const { line, timeoutMs } = connection;
    const client =
      line.kind === "serial" ? new ModbusRTU(new RtuPort(line, timeoutMs, clock)) : new ModbusRTU();
    client.on("error", () => undefined);
    try {
      if (line.kind === "serial") await opened(client);
      else {
        const options = { port: line.port, timeout: timeoutMs };
        await (line.isRtu
          ? client.connectTcpRTUBuffered(line.host, options)
          : client.connectTCP(line.host, options));
      }
    } catch (error) {
      throw new UnavailableError("modbus", describeError(error));
    }
    return new ModbusLink(client);
  }

  async read(
    connection: ModbusConnection,
    points: readonly Point<ModbusPlace>[],
  ): Promise<readonly Reading[]> {
    const readings: Reading[] = points.map(() => ({ problem: "no value" }));
    const isAlone = ({ place }: Point<ModbusPlace>): boolean => this.#alone.has(placeKey(connection, place));
    const blocks = blocksOf(points, isAlone);
    for (let block = blocks.shift(); block; block = blocks.shift()) {
      const answer = await this.#readBlock(connection, block);
      if (typeof answer === "string" && block.indexes.length > 1) {
        const parts = block.indexes.flatMap((index) => points[index] ?? []);
        for (const { place } of parts) this.#alone.add(placeKey(connection, place));
        blocks.unshift(...aloneBlocks(block, points));
        continue;
      }
      for (const index of block.indexes) readings[index] = readingOf(points[index], block, answer);
    }
    return readings;
  }

  async write(
    connection: ModbusConnection,
    { place, property }: Point<ModbusPlace>,
    value: string,
  ): Promise<string | undefined> {
    if (!isWritableTable(place.table)) return `${place.table} cannot be written`;
    if (place.layout.bit !== undefined) return "a single bit of a register cannot be written";
    if (place.table === "CoilRegister") {
      if (value !== "true" && value !== "false" && value !== "1" && value !== "0")
        return `${JSON.stringify(value)} is not true or false`;
      const isOn = value === "true" || value === "1";
      return this.#try(connection, (client) => client.writeCoil(place.address, isOn));
    }
    const bytes = encodeValue(place.layout, value, place.count * 2);
    if (!bytes)
      return `${JSON.stringify(value.slice(0, 100))} of ${property.name} does not fit ${place.layout.type}`;
    const registers = Array.from({ length: place.count }, (_, index) =>
      Buffer.from(bytes).readUInt16BE(index * 2),
    );
    const [only = 0, ...more] = registers;
    return this.#try(connection, (client) =>
      more.length === 0
        ? client.writeRegister(place.address, only)
        : client.writeRegisters(place.address, registers),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = this.#client;
    await new Promise<void>((resolve) => {
      if (client.isOpen) client.close(() => resolve());
      else resolve();
    });
  }

  /** @returns why the device refuses the request, or the bytes */
  async #readBlock(connection: ModbusConnection, block: Block): Promise<Uint8Array | string> {
    let bytes: Uint8Array = new Uint8Array();
    const refused = await this.#try(connection, async (client) => {
      const { data, buffer } = await readTable(client, block);
      bytes = typeof data[0] === "boolean" ? Uint8Array.from(data, Number) : buffer;
    });
    return refused ?? bytes;
  }

  async #try(
    { unit, timeoutMs }: ModbusConnection,
    run: (client: ModbusRTU) => Promise<unknown>,
  ): Promise<string | undefined> {
    const client = this.#client;
    client.setID(unit);
    client.setTimeout(timeoutMs);
    try {
      await run(client);
      return undefined;
    } catch (error) {
      const { message, modbusCode, errno } = recordOf(error);
      if (typeof modbusCode === "number" && refusals.has(modbusCode)) return String(message);
      // Errors of the library are not all of class Error.
      const text = errno === "ETIMEDOUT" ? `no answer within ${timeoutMs} ms` : String(message);
      throw new UnavailableError("modbus", `unit ${unit}: ${text}`);
    }
  }
}

function readTable(
  client: ModbusRTU,
  { table, address, count }: Block,
): Promise<{ readonly data: readonly (boolean | number)[]; readonly buffer: Buffer }> {
  const read: Readonly<
    Record<Table, () => Promise<{ data: readonly (boolean | number)[]; buffer: Buffer }>>
  > = {
    CoilRegister: () => client.readCoils(address, count),
    DiscreteInputRegister: () => client.readDiscreteInputs(address, count),
    HoldingRegister: () => client.readHoldingRegisters(address, count),
    InputRegister: () => client.readInputRegisters(address, count),
  };
  return read[table]();
}

function readingOf(
  point: Point<ModbusPlace> | undefined,
  block: Block,
  answer: Uint8Array | string,
): Reading {
  if (typeof answer === "string") return { problem: answer };
  if (!point) return { problem: "no value" };
  const { place } = point;
  const isBit = place.table === "CoilRegister" || place.table === "DiscreteInputRegister";
  const width = isBit ? 1 : 2;
  const start = (place.address - block.address) * width;
  const bytes = answer.subarray(start, start + place.count * width);
  if (bytes.length < place.count * width) return { problem: "the answer is too short" };
  const value = decodeValue(place.layout, bytes);
  return value === undefined ? { problem: "is no number" } : { value };
}

function aloneBlocks({ indexes }: Block, points: readonly Point<ModbusPlace>[]): Block[] {
  return indexes.flatMap((index) => {
    const place = points[index]?.place;
    return place
      ? [{ table: place.table, address: place.address, count: place.count, indexes: [index] }]
      : [];
  });
}

function placeKey({ unit }: ModbusConnection, { table, address }: ModbusPlace): string {
  return `${unit} ${table} ${address}`;
}

function opened(client: ModbusRTU): Promise<void> {
  return new Promise((resolve, reject) => {
    client.open((error?: Error) => (error ? reject(error) : resolve()));
  });
}
