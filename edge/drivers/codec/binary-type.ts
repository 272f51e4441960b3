import { binarySize, readBinary, type BinaryType as PayloadType } from "#shared/devices/payloads";

export type NumberType = Exclude<PayloadType, "base64" | "hex" | "text">;
/** How a value lies in the memory of a device. */
export type BinaryType = NumberType | "boolean" | "bytes" | "string";

/** Bytes that a number of this type takes; undefined for what has no size of its own. */
export function sizeOf(type: BinaryType): number | undefined {
  return isNumberType(type) ? binarySize(type) : undefined;
}

export function isNumberType(type: BinaryType): type is NumberType {
  return type !== "boolean" && type !== "bytes" && type !== "string";
}

/** @param bytes exactly `sizeOf(type)`, most significant first. @returns integers of 64 bits as text */
export function readNumber(type: NumberType, bytes: Uint8Array): number | string {
  const field = {
    type,
    offset: 0,
    littleBytes: false,
    littleWords: false,
    length: undefined,
    bit: undefined,
  };
  const value = readBinary(bytes, field);
  return typeof value === "string" ? value : Number(value);
}

/** @returns the bytes, most significant first; undefined when the number does not fit the type */
export function writeNumber(type: NumberType, value: number): Uint8Array | undefined {
  if (!Number.isFinite(value)) return undefined;
  const isFloat = type === "float32" || type === "float64";
  const whole = isFloat ? value : Math.round(value);
  if (!isFloat && !Number.isSafeInteger(whole)) return undefined;
  const bytes = new Uint8Array(binarySize(type));
  writers[type](new DataView(bytes.buffer), whole);
  const back = Number(readNumber(type, bytes));
  const fits = isFloat ? Number.isFinite(back) : back === whole;
  return fits ? bytes : undefined;
}

const writers: Readonly<Record<NumberType, (view: DataView, value: number) => void>> = {
  int8: (view, value) => view.setInt8(0, value),
  uint8: (view, value) => view.setUint8(0, value),
  int16: (view, value) => view.setInt16(0, value),
  uint16: (view, value) => view.setUint16(0, value),
  int32: (view, value) => view.setInt32(0, value),
  uint32: (view, value) => view.setUint32(0, value),
  int64: (view, value) => view.setBigInt64(0, BigInt(value)),
  uint64: (view, value) => view.setBigUint64(0, BigInt(value)),
  float32: (view, value) => view.setFloat32(0, value),
  float64: (view, value) => view.setFloat64(0, value),
};
