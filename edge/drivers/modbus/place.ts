import type { ConfigFields } from "#edge/drivers/config";
import { sizeOf, type BinaryType, type Layout } from "#edge/drivers/codec";
import type { PropertyKind } from "#edge/drivers/driver";

/** The four tables of a Modbus device, in KubeEdge's words. */
export const tables = ["CoilRegister", "DiscreteInputRegister", "HoldingRegister", "InputRegister"] as const;
export type Table = (typeof tables)[number];

/** Where a property is: `visitors.configData`, as KubeEdge's Modbus mapper has it. */
export interface ModbusPlace {
  readonly table: Table;
  /** Address of the first register or coil, from 0. */
  readonly address: number;
  /** Registers or coils. */
  readonly count: number;
  readonly layout: Layout;
}

export const placeKeys = [
  "register",
  "offset",
  "limit",
  "scale",
  "shift",
  "isSwap",
  "isRegisterSwap",
  "byteOrder",
  "dataType",
  "bit",
];

const binaryTypes = [
  "int16",
  "uint16",
  "int32",
  "uint32",
  "int64",
  "uint64",
  "float32",
  "float64",
  "string",
  "bytes",
  "boolean",
] as const;
/** Types of KubeEdge's mapper, whose size follows from `limit`. */
const looseTypes = ["int", "float", "double"] as const;

/** Modbus allows 125 registers in an answer. */
const mostRegisters = 125;

export function isBitTable(table: Table): boolean {
  return table === "CoilRegister" || table === "DiscreteInputRegister";
}

export function isWritableTable(table: Table): boolean {
  return table === "CoilRegister" || table === "HoldingRegister";
}

export function readPlace(fields: ConfigFields, property: PropertyKind): ModbusPlace | undefined {
  if (!fields.has("register"))
    return fields.missing("register", `is missing; it is one of ${tables.join(", ")}`);
  const table = fields.choice("register", tables);
  const address = fields.whole("offset", [0, 65_535]) ?? 0;
  const written = fields.choice("dataType", [...binaryTypes, ...looseTypes]);
  const limit = fields.whole("limit", [1, mostRegisters]);
  const common = readCommon(fields);
  if (table === undefined || fields.problems.length > 0) return undefined;
  if (isBitTable(table))
    return bitPlace(fields, { table, address, limit, layout: { ...common, type: "boolean" } });
  const type = exactType(written ?? property.type, limit, property);
  return registerPlace(fields, { table, address, limit, layout: { ...common, type } });
}

function readCommon(fields: ConfigFields): Omit<Layout, "type"> {
  const scale = fields.number("scale") ?? 1;
  if (scale === 0) fields.refuse("scale", "must not be 0");
  return {
    ...orderOf(fields),
    bit: fields.whole("bit", [0, 15]),
    scale,
    shift: fields.number("shift") ?? 0,
  };
}

type WrittenPlace = Omit<ModbusPlace, "count"> & { readonly limit: number | undefined };

function registerPlace(fields: ConfigFields, { limit, ...place }: WrittenPlace): ModbusPlace | undefined {
  const { address, layout } = place;
  const needed = Math.max((sizeOf(layout.type) ?? 2) / 2, 1);
  const count = limit ?? needed;
  if (!fits(layout.type, count))
    return fields.refuse("limit", `must be ${needed} for ${layout.type}, and not ${count}`);
  if (address + count > 65_536) return fields.refuse("offset", "with its limit, goes beyond register 65535");
  return { ...place, count };
}

function bitPlace(fields: ConfigFields, { limit, ...place }: WrittenPlace): ModbusPlace | undefined {
  if (limit !== undefined && limit !== 1)
    return fields.refuse("limit", "must be 1: a coil or discrete input is one bit");
  return { ...place, count: 1 };
}

function orderOf(fields: ConfigFields): Pick<Layout, "swapBytes" | "swapWords"> {
  const order = fields.choice("byteOrder", ["ABCD", "BADC", "CDAB", "DCBA"]);
  if (order === undefined)
    return {
      swapBytes: fields.flag("isSwap") ?? false,
      swapWords: fields.flag("isRegisterSwap") ?? false,
    };
  return { swapBytes: order === "BADC" || order === "DCBA", swapWords: order === "CDAB" || order === "DCBA" };
}

/**
 * Whole numbers are unsigned as in KubeEdge's mapper, unless the property may be below zero. A float in one register is a whole
 * number with a scale.
 */
function exactType(
  type: string,
  limit: number | undefined,
  { isBinary, isSigned }: PropertyKind,
): BinaryType {
  const exact = binaryTypes.find((one) => one === type);
  if (exact !== undefined && exact !== "string") return exact;
  if (isBinary) return "bytes";
  if (type === "string") return "string";
  if (type === "int" || limit === 1)
    return `${isSigned ? "int" : "uint"}${bitsOf(limit ?? 1)}` as "int16" | "int32" | "int64" | "uint16";
  return (limit ?? 2) > 2 ? "float64" : "float32";
}

function bitsOf(registers: number): 16 | 32 | 64 {
  if (registers === 1) return 16;
  return registers === 2 ? 32 : 64;
}

function fits(type: BinaryType, count: number): boolean {
  const size = sizeOf(type);
  return size === undefined ? type !== "boolean" || count === 1 : size === count * 2;
}
