import { swapped } from "#shared/devices/payloads";
import { isNumberType, readNumber, sizeOf, writeNumber, type BinaryType } from "./binary-type.ts";

/** How a property lies in bytes that a device sends. */
export interface Layout {
  readonly type: BinaryType;
  /** The two bytes of each 16-bit word are the other way round. */
  readonly swapBytes: boolean;
  /** The 16-bit words come in the other order: the least significant first. */
  readonly swapWords: boolean;
  /** Of a boolean in a word: which bit, the least significant is 0; undefined: any bit. */
  readonly bit: number | undefined;
  /** The property is `raw * scale + shift`. */
  readonly scale: number;
  readonly shift: number;
}

/**
 * The text of a property from the bytes of a device.
 * @returns undefined when they have no value, such as NaN
 */
export function decodeValue(layout: Layout, sent: Uint8Array): string | undefined {
  const bytes = ordered(layout, sent);
  if (layout.type === "string") return textOf(bytes);
  if (layout.type === "bytes") return Buffer.from(bytes).toString("base64");
  if (!isNumberType(layout.type)) return String(bitOf(bytes, layout.bit));
  const raw = readNumber(layout.type, bytes);
  if (layout.scale === 1 && layout.shift === 0 && typeof raw === "string") return raw;
  const value = Number(raw) * layout.scale + layout.shift;
  return Number.isFinite(value) ? plainDecimal(value, layout) : undefined;
}

/**
 * The bytes of a desired value as the device takes them.
 * @param size bytes that the property has there
 * @returns undefined when the value cannot be that of the device
 */
export function encodeValue(layout: Layout, value: string, size: number): Uint8Array | undefined {
  const bytes = rawBytes(layout, value, size);
  return bytes && ordered(layout, bytes);
}

function rawBytes(layout: Layout, value: string, size: number): Uint8Array | undefined {
  if (layout.type === "string") return padded(Buffer.from(value, "utf8"), size);
  if (layout.type === "bytes") return exact(Buffer.from(value, "base64"), size);
  if (!isNumberType(layout.type)) return wordOf(value === "true", size);
  const number = Number(value);
  if (value.trim() === "" || !Number.isFinite(number)) return undefined;
  if (sizeOf(layout.type) !== size) return undefined;
  return writeNumber(layout.type, (number - layout.shift) / layout.scale);
}

function ordered({ swapBytes, swapWords }: Layout, bytes: Uint8Array): Uint8Array {
  return swapBytes || swapWords ? swapped(bytes, { littleBytes: swapBytes, littleWords: swapWords }) : bytes;
}

function bitOf(bytes: Uint8Array, bit: number | undefined): boolean {
  if (bit === undefined) return bytes.some((byte) => byte !== 0);
  const byte = bytes[bytes.length - 1 - (bit >> 3)] ?? 0;
  return ((byte >> (bit & 7)) & 1) === 1;
}

function wordOf(isOn: boolean, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes[size - 1] = isOn ? 1 : 0;
  return bytes;
}

/** Texts in devices are padded with zeros or spaces. */
function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end === -1 ? bytes : bytes.subarray(0, end))
    .toString("utf8")
    .trimEnd();
}

function padded(bytes: Uint8Array, size: number): Uint8Array | undefined {
  if (bytes.length > size) return undefined;
  const all = new Uint8Array(size);
  all.set(bytes);
  return all;
}

function exact(bytes: Uint8Array, size: number): Uint8Array | undefined {
  return bytes.length === size ? bytes : undefined;
}

/** Without the digits that binary multiplication adds: 215 * 0.1 is 21.5. */
function plainDecimal(value: number, { scale, shift }: Layout): string {
  if (scale === 1 && shift === 0) return String(value);
  return String(Number(value.toPrecision(15)));
}
