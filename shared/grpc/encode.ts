import { isRecord } from "#shared/json";
import type { Field, Message } from "./definition.ts";

/** Wire types of protobuf. */
export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** A message in protobuf. Fields that are absent are left out, and so are defaults, as in proto3. */
export function encodeMessage(message: Message, value: unknown): Uint8Array {
  if (!isRecord(value)) return new Uint8Array();
  return Buffer.concat(message.fields.flatMap((field) => encodeField(field, value[field.name])));
}

function encodeField(field: Field, value: unknown): Uint8Array[] {
  if (value === undefined || value === null) return [];
  const { type, isRepeated, number } = field;
  if (type.kind === "map")
    return entriesOf(value).map((entry) => withLength(number, encodeMessage(type.entry, entry)));
  if (!isRepeated) return encodeValue(field, value, false);
  const values = Array.isArray(value) ? value : [];
  // Lists of numbers are packed into one.
  if (type.kind !== "number") return values.flatMap((one) => encodeValue(field, one, true));
  return values.length === 0
    ? []
    : [withLength(number, Buffer.concat(values.map((one) => varint(Number(one)))))];
}

/** @param keepsDefault whether a default is written, as in lists */
function encodeValue({ type, number }: Field, value: unknown, keepsDefault: boolean): Uint8Array[] {
  if (type.kind === "message") return [withLength(number, encodeMessage(type.message, value))];
  if (type.kind === "bytes")
    return value instanceof Uint8Array && value.length > 0 ? [withLength(number, value)] : [];
  if (type.kind === "string")
    return value === "" && !keepsDefault ? [] : [withLength(number, Buffer.from(String(value)))];
  if (type.kind === "enum") return plain(number, type.names.indexOf(String(value)), keepsDefault);
  if (type.kind === "float" || type.kind === "double") return encodeFloat(type.kind, number, Number(value));
  return type.kind === "map" ? [] : plain(number, Number(value), keepsDefault);
}

function plain(number: number, value: number, keepsDefault: boolean): Uint8Array[] {
  return value === 0 && !keepsDefault ? [] : [tag(number, wireTypes.varint), varint(value)];
}

function entriesOf(value: unknown): { readonly key: string; readonly value: unknown }[] {
  return isRecord(value) ? Object.entries(value).map(([key, one]) => ({ key, value: one })) : [];
}

function encodeFloat(kind: "double" | "float", number: number, value: number): Uint8Array[] {
  if (Object.is(value, 0)) return [];
  const bytes = Buffer.alloc(kind === "float" ? 4 : 8);
  if (kind === "float") bytes.writeFloatLE(value);
  else bytes.writeDoubleLE(value);
  return [tag(number, kind === "float" ? wireTypes.fixed32 : wireTypes.fixed64), bytes];
}

function withLength(number: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([tag(number, wireTypes.bytes), varint(bytes.length), bytes]);
}

function tag(number: number, wireType: number): Uint8Array {
  return varint(number * 8 + wireType);
}

/** Negative ones have ten bytes, as 64-bit numbers. */
function varint(value: number): Uint8Array {
  let left = BigInt.asUintN(64, BigInt(Math.trunc(value)));
  const bytes: number[] = [];
  for (; left > 127n; left >>= 7n) bytes.push(Number(left & 127n) | 128);
  bytes.push(Number(left));
  return Uint8Array.from(bytes);
}
