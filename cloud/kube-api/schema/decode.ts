import { isObject, ownField, setField, type Json, type JsonObject } from "#shared/json";
import { formatQuantity, parseQuantity, quantityError } from "#shared/kube";
import { definition, definitionName, type Definition, type FieldType, type Leaf } from "./definitions.ts";

export interface DecodedFields {
  /** Paths of fields the kind does not have; they were removed from the object. */
  readonly unknown: readonly string[];
  /** The first value of a wrong type, with the text of Go's JSON decoder. */
  readonly error?: string;
}

interface Walk {
  readonly unknown: string[];
  readonly error: string | undefined;
}

interface Place {
  /** `spec.containers[0].ports`, for unknown fields. */
  readonly path: string;
  /** `spec.containers.ports`, as type errors write it. */
  readonly field: string;
  /** The struct holding the field. */
  readonly struct: string;
}

class DecodeError extends Error {}

/** Levels of structs; no kind has more than about thirty. */
const maxDepth = 200;
/** Unknown fields that are reported. */
const maxUnknown = 100;

/**
 * Brings a parsed body into the form of a builtin kind, in place, as a round trip through the Go types would: unknown fields,
 * nulls and empty optional lists and maps are dropped, quantities and times become canonical. One walk follows the body and the
 * definition of the kind side by side; the first wrong type ends it with the text of Go's decoder (sigs.k8s.io/json).
 * @param name of a definition, e.g. `core.v1.Pod`
 */
export function decodeInto(name: string, object: JsonObject): DecodedFields {
  const shape = definition(name);
  if (shape === undefined) return { unknown: [] };
  const walk: Walk = { unknown: [], error: undefined };
  try {
    decodeStruct(object, { shape, struct: structName(name), path: "", field: "", depth: 0 }, walk);
  } catch (thrown) {
    if (thrown instanceof DecodeError) return { unknown: walk.unknown, error: thrown.message };
    throw thrown;
  }
  return { unknown: walk.unknown };
}

/** Decodes `metadata` alone, for custom resources. */
export function decodeMetadata(object: JsonObject, kind: string): DecodedFields {
  const metadata = object.metadata;
  if (metadata === undefined || metadata === null) return { unknown: [] };
  if (!isObject(metadata))
    return { unknown: [], error: typeError(metadata, { struct: kind, field: "metadata" }, "v1.ObjectMeta") };
  const { unknown, error } = decodeInto("meta.v1.ObjectMeta", metadata);
  const paths = unknown.map((path) => `metadata.${path}`);
  return error === undefined
    ? { unknown: paths }
    : { unknown: paths, error: error.replace("ObjectMeta.", "ObjectMeta.metadata.") };
}

export { definitionName };

interface StructPlace {
  readonly shape: Definition;
  readonly struct: string;
  readonly path: string;
  readonly field: string;
  readonly depth: number;
}

function decodeStruct(object: JsonObject, here: StructPlace, walk: Walk): void {
  if (here.depth > maxDepth) throw new DecodeError("exceeded max depth");
  for (const key of Object.keys(object)) {
    const type = here.shape.get(key);
    const path = here.path === "" ? key : `${here.path}.${key}`;
    if (type === undefined) {
      if (walk.unknown.length < maxUnknown) walk.unknown.push(path);
      delete object[key];
      continue;
    }
    const value = ownField(object, key) ?? null;
    if (value === null) {
      delete object[key];
      continue;
    }
    const field = here.field === "" ? key : `${here.field}.${key}`;
    const decoded = decodeField(value, type, {
      place: { path, field, struct: here.struct },
      walk,
      depth: here.depth + 1,
    });
    if (decoded === undefined) delete object[key];
    else object[key] = decoded;
  }
}

interface Inside {
  readonly place: Place;
  readonly walk: Walk;
  readonly depth: number;
}

/** The field's value in its canonical form; undefined when it is as good as absent. */
function decodeField(value: Json, type: FieldType, inside: Inside): Json | undefined {
  if (type.shape === "list") return decodeList(value, type, inside);
  if (type.shape === "map") return decodeMap(value, type, inside);
  return decodeOne(value, type, inside);
}

function decodeList(value: Json, type: FieldType, inside: Inside): Json | undefined {
  if (!Array.isArray(value)) throw wrongType(value, inside.place, goType(type));
  if (value.length === 0 && !type.required) return undefined;
  for (const [index, item] of value.entries()) {
    const place = { ...inside.place, path: `${inside.place.path}[${index}]` };
    value[index] = decodeOne(item, type, { ...inside, place });
  }
  return value;
}

function decodeMap(value: Json, type: FieldType, inside: Inside): Json | undefined {
  if (!isObject(value)) throw wrongType(value, inside.place, goType(type));
  const keys = Object.keys(value);
  if (keys.length === 0 && !type.required) return undefined;
  for (const key of keys) {
    const place = { ...inside.place, path: `${inside.place.path}.${key}` };
    setField(value, key, decodeOne(ownField(value, key) ?? null, type, { ...inside, place }));
  }
  return value;
}

function decodeOne(value: Json, type: FieldType, inside: Inside): Json {
  if (type.leaf !== "#") return decodeLeaf(value, type.leaf, inside.place);
  const shape = definition(type.ref);
  if (shape === undefined) return value;
  if (value === null) return {};
  const struct = structName(type.ref);
  if (!isObject(value)) throw wrongType(value, inside.place, `v1.${struct}`);
  decodeStruct(
    value,
    { shape, struct, path: inside.place.path, field: inside.place.field, depth: inside.depth },
    inside.walk,
  );
  return value;
}

const leafDecoders: Record<Exclude<Leaf, "#">, (value: Json, place: Place) => Json> = {
  s: (value, place) => {
    if (typeof value === "string") return value;
    if (value === null) return "";
    throw wrongType(value, place, "string");
  },
  b: (value, place) => {
    if (typeof value === "boolean") return value;
    throw wrongType(value, place, "bool");
  },
  i: (value, place) => decodeInteger(value, place, { type: "int32", limit: 2 ** 31 }),
  l: (value, place) => decodeInteger(value, place, { type: "int64", limit: 2 ** 63 }),
  d: (value, place) => {
    if (typeof value === "number") return value;
    throw wrongType(value, place, "float64");
  },
  q: (value) => {
    const text = typeof value === "number" ? String(value) : value === null ? "0" : value;
    const quantity = typeof text === "string" ? parseQuantity(text.trim()) : undefined;
    if (quantity === undefined) throw new DecodeError(quantityError);
    return formatQuantity(quantity);
  },
  t: (value, place) => decodeTime(value, place, wholeTime),
  u: (value, place) => decodeTime(value, place, microTime),
  x: (value, place) => {
    if (typeof value === "string") return value;
    return decodeInteger(value, place, { type: "int32", limit: 2 ** 31 });
  },
  y: (value, place) => {
    if (value === null) return "";
    if (typeof value !== "string") throw wrongType(value, place, "[]uint8");
    return decodeBase64(value);
  },
  o: (value, place) => {
    if (isObject(value)) return value;
    throw wrongType(value, place, "runtime.RawExtension");
  },
  j: (value) => value,
};

function decodeLeaf(value: Json, leaf: Exclude<Leaf, "#">, place: Place): Json {
  return leafDecoders[leaf](value, place);
}

function decodeInteger(value: Json, place: Place, range: { type: string; limit: number }): number {
  if (typeof value !== "number") throw wrongType(value, place, range.type);
  if (!Number.isInteger(value) || value < -range.limit || value >= range.limit)
    throw new DecodeError(typeError(`number ${value}`, place, range.type));
  return value;
}

interface TimeForm {
  readonly type: string;
  readonly pattern: RegExp;
  readonly layout: string;
  readonly digits: number;
}

const wholeTime: TimeForm = {
  type: "v1.Time",
  pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
  layout: "2006-01-02T15:04:05Z07:00",
  digits: 0,
};

/** Go requires exactly the six digits of the layout. */
const microTime: TimeForm = {
  type: "v1.MicroTime",
  pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/,
  layout: "2006-01-02T15:04:05.000000Z07:00",
  digits: 6,
};

function decodeTime(value: Json, place: Place, { type, pattern, layout, digits }: TimeForm): string {
  if (typeof value !== "string") throw wrongType(value, place, type);
  const ms = pattern.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(ms)) {
    const [rest, part] = wrongTimePart(value, digits);
    throw new DecodeError(
      `parsing time ${JSON.stringify(value)} as "${layout}": cannot parse ${JSON.stringify(rest)} as "${part}"`,
    );
  }
  const seconds = new Date(ms).toISOString().slice(0, 19);
  return digits === 0 ? `${seconds}Z` : `${seconds}.${/\.(\d+)/.exec(value)?.[1] ?? ""}Z`;
}

/** Where Go stops to read a time, and the part of the layout that it looks for there. */
function wrongTimePart(value: string, digits: number): [string, string] {
  const seconds = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.exec(value)?.[0];
  if (digits === 0 || seconds === undefined) return [value, "2006"];
  const rest = value.slice(seconds.length);
  return /^\.\d{6}/.test(rest) ? [rest.slice(digits + 1), "Z07:00"] : [rest, ".000000"];
}

const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function decodeBase64(text: string): string {
  const bare = text.includes("\n") || text.includes("\r") ? text.replaceAll(/[\r\n]/g, "") : text;
  if (base64Pattern.test(bare)) return bare;
  const wrong = /[^A-Za-z0-9+/]/.exec(withoutPadding(bare));
  const byte = wrong?.index ?? bare.length - (bare.length % 4);
  throw new DecodeError(`illegal base64 data at input byte ${byte}`);
}

/** Without the expression `=+$`, which takes quadratic time on a long run of "=". */
function withoutPadding(text: string): string {
  let end = text.length;
  while (text.charCodeAt(end - 1) === 61) end -= 1;
  return text.slice(0, end);
}

function wrongType(value: Json, place: Place, type: string): DecodeError {
  return new DecodeError(typeError(value, place, type));
}

function typeError(value: Json, place: { struct: string; field: string }, type: string): string {
  const word = typeof value === "string" && value.startsWith("number ") ? value : jsonWord(value);
  return `json: cannot unmarshal ${word} into Go struct field ${place.struct}.${place.field} of type ${type}`;
}

function jsonWord(value: Json): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  return value === null ? "null" : typeof value;
}

const goNames: Record<Leaf, string> = {
  s: "string",
  b: "bool",
  i: "int32",
  l: "int64",
  d: "float64",
  q: "resource.Quantity",
  t: "v1.Time",
  u: "v1.MicroTime",
  x: "intstr.IntOrString",
  y: "[]uint8",
  o: "runtime.RawExtension",
  j: "v1.JSON",
  "#": "",
};

function goType(type: FieldType): string {
  const item = type.leaf === "#" ? `v1.${structName(type.ref)}` : goNames[type.leaf];
  return type.shape === "list" ? `[]${item}` : `map[string]${item}`;
}

function structName(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}
