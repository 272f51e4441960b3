import { ProtocolError } from "#shared/errors";
import { isRecord } from "#shared/json";
import type { Field, FieldType, Message } from "./definition.ts";
import { wireTypes } from "./encode.ts";

type Fields = Record<string, unknown>;

/**
 * A message of protobuf as an object: what is not in it has its default, messages are null. Fields that are not known are passed
 * over. @throws ProtocolError when it is damaged
 */
export function decodeMessage(message: Message, bytes: Uint8Array): Fields {
  const value: Fields = Object.fromEntries(message.fields.map((field) => [field.name, defaultOf(field)]));
  const reader = new WireReader(bytes);
  while (!reader.isAtEnd) {
    const tag = reader.varint();
    const field = message.fields.find(({ number }) => number === Math.floor(tag / 8));
    if (field) take(value, field, reader.value(tag % 8));
    else reader.value(tag % 8);
  }
  return value;
}

function defaultOf({ type, isRepeated }: Field): unknown {
  if (isRepeated) return [];
  return type.kind === "map" ? {} : scalarDefault(type);
}

function scalarDefault(type: FieldType): unknown {
  switch (type.kind) {
    case "string":
      return "";
    case "bytes":
      return Buffer.alloc(0);
    case "bool":
      return false;
    case "number":
    case "float":
    case "double":
      return 0;
    case "enum":
      return type.names[0] ?? "";
    case "message":
    case "map":
      return null;
  }
}

function take(value: Fields, { name, type, isRepeated }: Field, raw: number | Uint8Array): void {
  const present = value[name];
  if (type.kind === "map") {
    if (isRecord(present) && raw instanceof Uint8Array) addEntry(present, decodeMessage(type.entry, raw));
  } else if (Array.isArray(present)) present.push(...(isRepeated ? itemsOf(type, raw) : []));
  else value[name] = valueOf(type, raw);
}

/** Lists of numbers may be packed into one. */
function itemsOf(type: FieldType, raw: number | Uint8Array): unknown[] {
  if (type.kind !== "number" || !(raw instanceof Uint8Array)) return [valueOf(type, raw)];
  const reader = new WireReader(raw);
  const items: number[] = [];
  while (!reader.isAtEnd) items.push(reader.varint());
  return items;
}

/** What is of another wire type than its field has the default. */
function valueOf(type: FieldType, raw: number | Uint8Array): unknown {
  const value = raw instanceof Uint8Array ? textValue(type, raw) : numberValue(type, raw);
  return value ?? scalarDefault(type);
}

function textValue(type: FieldType, raw: Uint8Array): unknown {
  if (type.kind === "string") return Buffer.from(raw).toString();
  if (type.kind === "bytes") return raw;
  if (type.kind === "float" || type.kind === "double") return floatOf(raw);
  return type.kind === "message" ? decodeMessage(type.message, raw) : undefined;
}

function numberValue(type: FieldType, raw: number): unknown {
  if (type.kind === "bool") return raw === 1;
  if (type.kind === "number") return raw;
  return type.kind === "enum" ? (type.names[raw] ?? String(raw)) : undefined;
}

/** By definition: a key may be "__proto__". */
function addEntry(map: Fields, { key, value }: Fields): void {
  Object.defineProperty(map, String(key), { value, enumerable: true, configurable: true, writable: true });
}

function floatOf(raw: Uint8Array): number | undefined {
  const bytes = Buffer.from(raw);
  if (bytes.length === 4) return bytes.readFloatLE();
  return bytes.length === 8 ? bytes.readDoubleLE() : undefined;
}

class WireReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** As a signed number of 64 bits; beyond 53 bits the last ones are lost. */
  varint(): number {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw damaged();
      this.#at += 1;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(BigInt.asIntN(64, value));
    }
    throw damaged();
  }

  value(wireType: number): number | Uint8Array {
    switch (wireType) {
      case wireTypes.varint:
        return this.varint();
      case wireTypes.fixed64:
        return this.#take(8);
      case wireTypes.fixed32:
        return this.#take(4);
      case wireTypes.bytes:
        return this.#take(this.varint());
      default:
        throw damaged();
    }
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) throw damaged();
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}

function damaged(): ProtocolError {
  return new ProtocolError("bad-message", "a message of protobuf cannot be read");
}
