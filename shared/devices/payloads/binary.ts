/** Where a value is in a binary payload. */
export interface BinaryField {
  readonly type: BinaryType;
  /** Of the first byte. */
  readonly offset: number;
  /** Order of the bytes within a word of 16 bits. */
  readonly littleBytes: boolean;
  /** Order of the words of a value of 32 or 64 bits: Modbus devices send the low word first as often as not. */
  readonly littleWords: boolean;
  /** Bytes of `text`, `hex` and `base64`; undefined: up to the end. */
  readonly length: number | undefined;
  /** One bit of an integer, from 0 for the lowest; undefined: the whole integer. */
  readonly bit: number | undefined;
}

export type BinaryType = keyof typeof sizes;

const sizes = {
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  float32: 4,
  float64: 8,
  text: 0,
  hex: 0,
  base64: 0,
} as const;

/** Bytes of a value of a type; 0: the type has no size of its own. */
export function binarySize(type: BinaryType): number {
  return sizes[type];
}

/** Names of the types of a field. */
export const binaryTypes: readonly string[] = Object.keys(sizes);

/**
 * Reads a field of a payload; integers of 64 bits as text with all digits.
 * @returns undefined when the payload is too short
 */
export function readBinary(payload: Uint8Array, field: BinaryField): unknown {
  const { type, offset } = field;
  const size = sizes[type];
  if (size === 0) return bytesOf(payload, field);
  if (offset + size > payload.length) return undefined;
  const number = readers[type]?.(viewOf(payload.subarray(offset, offset + size), field)) ?? Number.NaN;
  if (field.bit === undefined) return typeof number === "bigint" ? number.toString() : number;
  if (typeof number === "number" && !Number.isInteger(number)) return undefined;
  return ((BigInt(number) >> BigInt(field.bit)) & 1n) === 1n;
}

function bytesOf(payload: Uint8Array, { type, offset, length }: BinaryField): string | undefined {
  const end = length === undefined ? payload.length : offset + length;
  if (offset > payload.length || end > payload.length) return undefined;
  const part = Buffer.from(payload.subarray(offset, end));
  if (type !== "text") return part.toString(type === "hex" ? "hex" : "base64");
  return part.toString("utf8").replace(/\0.*$/s, "");
}

/** The bytes of a value with the highest first, or the other way round: swapping is its own reverse. */
export function swapped(
  bytes: Uint8Array,
  { littleBytes, littleWords }: Pick<BinaryField, "littleBytes" | "littleWords">,
): Uint8Array {
  const words: number[][] = [];
  for (let index = 0; index < bytes.length; index += 2) {
    const word = [...bytes.subarray(index, index + 2)];
    words.push(littleBytes ? word.toReversed() : word);
  }
  const ordered = littleWords ? words.toReversed() : words;
  return Uint8Array.from(ordered.flat());
}

function viewOf(bytes: Uint8Array, field: BinaryField): DataView {
  return new DataView(swapped(bytes, field).buffer);
}

const readers: Readonly<Record<string, (view: DataView) => number | bigint>> = {
  int8: (view) => view.getInt8(0),
  uint8: (view) => view.getUint8(0),
  int16: (view) => view.getInt16(0),
  uint16: (view) => view.getUint16(0),
  int32: (view) => view.getInt32(0),
  uint32: (view) => view.getUint32(0),
  int64: (view) => view.getBigInt64(0),
  uint64: (view) => view.getBigUint64(0),
  // The shortest digits that mean the same float: 21.1, not 21.100000381469727.
  float32: (view) => Number(view.getFloat32(0).toPrecision(7)),
  float64: (view) => view.getFloat64(0),
};
