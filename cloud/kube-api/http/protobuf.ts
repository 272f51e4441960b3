import { refusals } from "#cloud/kube-api/status";
import { isObject, type Json, type JsonObject } from "#shared/json";
import wireTypes from "./wire-types.txt" with { type: "text" };

/** One field of a message: its JSON name and type as `wire-types.txt` spells it. */
interface Field {
  readonly name: string;
  readonly type: string;
  /** Go inlines it: its members are those of the owner in JSON. */
  readonly inlined: boolean;
  /** A scalar behind a pointer in Go, or one that JSON always shows: 0, false and "" are values. */
  readonly keepsEmpty: boolean;
}

type Message = ReadonlyMap<number, Field>;

/** The type that a path says a body has. */
export interface TypeName {
  readonly apiVersion: string;
  readonly kind: string;
}

/** Parsed on first use: most clients send JSON. */
const parsed: { messages?: Map<string, Message> } = {};

/** "k8s\0" */
const magic = [0x6b, 0x38, 0x73, 0x00];
/** Levels of messages; kinds have about twenty. */
const deepest = 100;

/** Messages whose JSON form is not an object of their fields. */
const special: Readonly<Record<string, (fields: JsonObject) => Json | undefined>> = {
  "resource.Quantity": (fields) => fields["string"] ?? "0",
  "intstr.IntOrString": (fields) =>
    fields["type"] === 1 ? (fields["strVal"] ?? "") : (fields["intVal"] ?? 0),
  "meta.v1.Time": (fields) => time(fields, 0),
  "meta.v1.MicroTime": (fields) => time(fields, 6),
  "meta.v1.Duration": (fields) => `${Number(fields["duration"] ?? 0) / 1e9}s`,
  "meta.v1.FieldsV1": (fields) => embedded(fields["Raw"]),
  "runtime.RawExtension": (fields) => embedded(fields["raw"]),
  "apiextensions.v1.JSON": (fields) => embedded(fields["raw"]),
  "apiextensions.v1.JSONSchemaPropsOrArray": (fields) => fields["schema"] ?? fields["jSONSchemas"],
  "apiextensions.v1.JSONSchemaPropsOrBool": (fields) => fields["schema"] ?? fields["allows"],
  "apiextensions.v1.JSONSchemaPropsOrStringArray": (fields) => fields["schema"] ?? fields["property"],
  "authorization.v1.ExtraValue": (fields) => fields["items"] ?? [],
  "authentication.v1.ExtraValue": (fields) => fields["items"] ?? [],
  "meta.v1.Verbs": (fields) => fields["items"] ?? [],
};

/**
 * An object in Kubernetes' protobuf form (runtime.Unknown with a magic prefix, apimachinery/runtime/serializer/protobuf) as
 * JSON, apiVersion and kind included. The messages are data (`wire-types.txt`, from the generated.proto files): fields are read
 * by number, and those that Go would omit from JSON when empty are omitted. A body without a type has the expected one.
 * @throws Refusal (BadRequest, UnsupportedMediaType)
 */
export function decodeProtobuf(bytes: Uint8Array, expected?: TypeName): Json {
  if (!magic.every((byte, index) => bytes[index] === byte)) throw malformed("it does not start as one");
  const room: Room = { fields: mostFields };
  const outer = readFields(bytes.subarray(4), room);
  const [raw] = outer.get(2) ?? [];
  const { apiVersion, kind } = typeOf(outer.get(1)?.[0], expected, room);
  const type = messageName(apiVersion, kind);
  if (!table().has(type)) {
    throw refusals.unsupportedMediaType(["application/json", "application/yaml"]);
  }
  const place = { room, depth: 0 };
  const object = decodeMessage(type, raw instanceof Uint8Array ? raw : new Uint8Array(), place);
  return { apiVersion, kind, ...(isObject(object) ? object : {}) };
}

function typeOf(typeMeta: Wire | undefined, expected: TypeName | undefined, room: Room): TypeName {
  const names = typeMeta instanceof Uint8Array ? readFields(typeMeta, room) : new Map<number, Wire[]>();
  const { apiVersion = "", kind = "" } = expected ?? {};
  return { apiVersion: utf8(names.get(1)?.at(-1)) || apiVersion, kind: utf8(names.get(2)?.at(-1)) || kind };
}

function messageName(apiVersion: string, kind: string): string {
  if (kind === "DeleteOptions") return "meta.v1.DeleteOptions";
  const [group = "", version] = apiVersion.includes("/") ? apiVersion.split("/") : ["core", apiVersion];
  return `${group.split(".")[0]}.${version}.${kind}`;
}

function table(): Map<string, Message> {
  parsed.messages ??= new Map(
    wireTypes
      .trim()
      .split("\n")
      .map((line) => {
        const [name = "", ...fields] = line.split(" ");
        return [name, new Map(fields.map(readField))];
      }),
  );
  return parsed.messages;
}

function readField(text: string): [number, Field] {
  const [, name = "", number, type = "", mark] = /^([$\w-]+)=(\d+):([^!^]+)([!^])?$/.exec(text) ?? [];
  return [Number(number), { name, type, inlined: mark === "^", keepsEmpty: mark === "!" }];
}

type Wire = bigint | Uint8Array;

/** Fields of a body with all its messages: two bytes make one, which takes microseconds. */
const mostFields = 200_000;

interface Room {
  fields: number;
}

interface Place {
  readonly room: Room;
  readonly depth: number;
}

/** The fields of a message by number, as they came. */
function readFields(bytes: Uint8Array, room: Room): Map<number, Wire[]> {
  const fields = new Map<number, Wire[]>();
  const reader = new Reader(bytes);
  while (!reader.done) {
    room.fields -= 1;
    if (room.fields < 0) throw refusals.entityTooLarge(`the body has more than ${mostFields} fields`);
    const tag = Number(reader.varint());
    const value = reader.value(tag & 7);
    const number = tag >>> 3;
    const values = fields.get(number);
    if (values) values.push(value);
    else fields.set(number, [value]);
  }
  return fields;
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): bigint {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw malformed("it ends too early");
      this.#at += 1;
      result |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asUintN(64, result);
    }
    throw malformed("a number is too long");
  }

  value(wireType: number): Wire {
    switch (wireType) {
      case 0:
        return this.varint();
      case 1:
        return this.#take(8);
      case 2:
        return this.#take(Number(this.varint()));
      case 5:
        return this.#take(4);
      default:
        throw malformed(`wire type ${wireType} is unknown`);
    }
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw malformed("it ends too early");
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }
}

function decodeMessage(type: string, bytes: Uint8Array, place: Place): Json | undefined {
  if (place.depth > deepest) throw malformed("it is nested too deeply");
  const message = table().get(type);
  if (!message) return undefined;
  const result: JsonObject = {};
  for (const [number, values] of readFields(bytes, place.room)) {
    const field = message.get(number);
    const value = field && decodeField(field, values, place);
    if (!field || value === undefined) continue;
    if (field.inlined && isObject(value)) Object.assign(result, value);
    else result[field.name] = value;
  }
  const convert = special[type];
  return convert ? convert(result) : result;
}

function decodeField(field: Field, values: readonly Wire[], place: Place): Json | undefined {
  const { type } = field;
  if (type.startsWith("%")) return decodeMap(type.slice(1), values, place);
  if (type.startsWith("*")) {
    return values.map((value) => decodeValue(type.slice(1), value, place) ?? null);
  }
  const last = values.at(-1);
  const value = last === undefined ? undefined : decodeValue(type, last, place);
  // Of a message, such as an int-or-string, its being there says enough.
  const empty = /^[sBid]$/.test(type) && (value === "" || value === 0 || value === false);
  return empty && !field.keepsEmpty ? undefined : value;
}

function decodeMap(type: string, values: readonly Wire[], place: Place): JsonObject {
  const entries = values.map((value) => {
    const fields = value instanceof Uint8Array ? readFields(value, place.room) : new Map<number, Wire[]>();
    const inner = fields.get(2)?.at(-1) ?? new Uint8Array();
    return [utf8(fields.get(1)?.at(-1)), decodeValue(type, inner, place) ?? null];
  });
  // The types of Object.fromEntries do not follow pairs that were made by map.
  return Object.fromEntries(entries) as JsonObject;
}

function decodeValue(type: string, value: Wire, place: Place): Json | undefined {
  switch (type) {
    case "s":
      return utf8(value);
    case "b":
      return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : "";
    case "B":
      return value !== 0n;
    case "i":
      return typeof value === "bigint" ? Number(BigInt.asIntN(64, value)) : 0;
    case "d":
      return value instanceof Uint8Array && value.length === 8 ? Buffer.from(value).readDoubleLE() : 0;
    default:
      return decodeMessage(type, value instanceof Uint8Array ? value : new Uint8Array(), {
        ...place,
        depth: place.depth + 1,
      });
  }
}

function utf8(value: Wire | undefined): string {
  if (!(value instanceof Uint8Array)) return "";
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw malformed("a text in it is not valid UTF-8");
  }
}

/** The last second of the year 9999: RFC 3339 ends there. */
const latestSeconds = 253_402_300_799;
/** Go's zero time, 0001-01-01T00:00:00Z, stands for none. */
const noTimeSeconds = -62_135_596_800;

function time(fields: JsonObject, digits: number): Json | undefined {
  const nanos = numberIn(fields, "nanos") ?? 0;
  const seconds = (numberIn(fields, "seconds") ?? Number.NaN) + Math.floor(nanos / 1e9);
  if (Number.isNaN(seconds) || seconds <= noTimeSeconds) return undefined;
  if (seconds > latestSeconds) throw malformed(`${seconds} seconds are no time`);
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  const micros = Math.floor((nanos - Math.floor(nanos / 1e9) * 1e9) / 1000);
  return digits === 0 ? `${whole}Z` : `${whole}.${String(micros).padStart(6, "0")}Z`;
}

function numberIn(fields: JsonObject, name: string): number | undefined {
  const value = fields[name];
  return typeof value === "number" ? value : undefined;
}

/** JSON kept as bytes inside a message. */
function embedded(base64: Json | undefined): Json | undefined {
  if (typeof base64 !== "string" || base64 === "") return undefined;
  try {
    return JSON.parse(Buffer.from(base64, "base64").toString("utf8")) as Json;
  } catch (error) {
    throw malformed(`it holds bad JSON: ${String(error)}`);
  }
}

function malformed(why: string): Error {
  return refusals.badRequest(`the body is not a Kubernetes object in protobuf: ${why}`);
}
