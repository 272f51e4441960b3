import { isObject, type Json, type JsonObject } from "#shared/json";
import type { SwaggerPart } from "./v2.ts";

/*
 * The Swagger document in protobuf, as Go clients ask for it (message openapi.v2.Document of gnostic). A message that comes in
 * parts is merged by its reader, so that each path and each definition is a part of its own.
 */

/** The start of a document: `swagger` and `info`. */
export function gnosticHead(info: { readonly title: string; readonly version: string }): Uint8Array {
  return Buffer.concat([text(1, "2.0"), message(2, [text(1, info.title), text(2, info.version)])]);
}

export function gnosticPart({ of, name, value }: SwaggerPart): Uint8Array {
  return of === "paths"
    ? message(8, [message(2, named(name, pathOf(value)))])
    : message(9, [message(1, named(name, schemaOf(value)))]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(Math.trunc(value)));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Uint8Array.from([...bytes, Number(rest)]);
}

function lengthed(field: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes]);
}

function text(field: number, value: string): Uint8Array {
  return lengthed(field, Buffer.from(value));
}

function message(field: number, parts: readonly Uint8Array[]): Uint8Array {
  return lengthed(field, Buffer.concat(parts));
}

function number(field: number, value: number): Uint8Array {
  return Buffer.concat([varint(field << 3), varint(value)]);
}

function double(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([varint((field << 3) | 1), bytes]);
}

/** An Any: its value as YAML, which JSON is. */
function any(field: number, value: Json): Uint8Array {
  return message(field, [text(2, JSON.stringify(value))]);
}

/** The parts of a Named…: its name and value. */
function named(name: string, parts: readonly Uint8Array[]): Uint8Array[] {
  return [text(1, name), message(2, parts)];
}

type Write = (field: number, value: Json) => Uint8Array[];

const writeText: Write = (field, value) => (typeof value === "string" ? [text(field, value)] : []);
const writeWhole: Write = (field, value) => (typeof value === "number" ? [number(field, value)] : []);
const writeDouble: Write = (field, value) => (typeof value === "number" ? [double(field, value)] : []);
const writeFlag: Write = (field, value) => (value === true ? [number(field, 1)] : []);
const writeAny: Write = (field, value) => [any(field, value)];
const writeTexts: Write = (field, value) =>
  listOf(value).flatMap((one) => (typeof one === "string" ? [text(field, one)] : []));
const writeSchema: Write = (field, value) => (isObject(value) ? [message(field, schemaOf(value))] : []);

const schemaFields: Readonly<Record<string, readonly [number, Write]>> = {
  $ref: [1, writeText],
  format: [2, writeText],
  title: [3, writeText],
  description: [4, writeText],
  default: [5, writeAny],
  multipleOf: [6, writeDouble],
  maximum: [7, writeDouble],
  exclusiveMaximum: [8, writeFlag],
  minimum: [9, writeDouble],
  exclusiveMinimum: [10, writeFlag],
  maxLength: [11, writeWhole],
  minLength: [12, writeWhole],
  pattern: [13, writeText],
  maxItems: [14, writeWhole],
  minItems: [15, writeWhole],
  uniqueItems: [16, writeFlag],
  maxProperties: [17, writeWhole],
  minProperties: [18, writeWhole],
  required: [19, writeTexts],
  enum: [20, (field, value) => listOf(value).map((one) => any(field, one))],
  additionalProperties: [
    21,
    (field, value) => [
      message(field, isObject(value) ? [message(1, schemaOf(value))] : [number(2, Number(value))]),
    ],
  ],
  type: [22, (field, value) => [message(field, writeText(1, value))]],
  items: [23, (field, value) => [message(field, writeSchema(1, value))]],
  properties: [
    25,
    (field, value) => [
      message(
        field,
        entriesOf(value).map(([name, one]) => message(1, named(name, isObject(one) ? schemaOf(one) : []))),
      ),
    ],
  ],
  example: [30, writeAny],
};

function schemaOf(schema: JsonObject): Uint8Array[] {
  return entriesOf(schema).flatMap(([key, value]) => {
    const known = schemaFields[key];
    if (known) return known[1](known[0], value);
    return key.startsWith("x-") ? [extension(31, key, value)] : [];
  });
}

function extension(field: number, name: string, value: Json): Uint8Array {
  return message(field, [text(1, name), any(2, value)]);
}

const methods: Readonly<Record<string, number>> = { get: 2, put: 3, post: 4, delete: 5, patch: 8 };

function pathOf(path: JsonObject): Uint8Array[] {
  const operations = entriesOf(path).flatMap(([method, operation]) => {
    const field = methods[method];
    return field !== undefined && isObject(operation) ? [message(field, operationOf(operation))] : [];
  });
  return [...operations, ...parametersOf(9, path["parameters"])];
}

function operationOf({ parameters, responses, ...extensions }: JsonObject): Uint8Array[] {
  const answers = entriesOf(responses ?? null).map(([code, answer]) => {
    const { description = "", schema = null } = isObject(answer) ? answer : {};
    const response = [...writeText(1, description), message(2, writeSchema(1, schema))];
    return message(1, named(code, [message(1, response)]));
  });
  return [
    ...parametersOf(8, parameters),
    message(9, answers),
    ...entriesOf(extensions).map(([name, value]) => extension(13, name, value)),
  ];
}

/** Parameters of a path and of a query: the fields of their messages have other numbers. */
function parametersOf(field: number, parameters: Json | undefined): Uint8Array[] {
  return listOf(parameters ?? null)
    .filter(isObject)
    .map(({ name = "", in: place = "", type = "" }) => {
      const inPath = place === "path";
      const words = [
        ...(inPath ? [number(1, 1)] : []),
        ...writeText(2, place),
        ...writeText(4, name),
        ...writeText(inPath ? 5 : 6, type),
        ...(inPath ? [] : [number(20, 1)]),
      ];
      return message(field, [message(1, [message(2, [message(inPath ? 4 : 3, words)])])]);
    });
}

function listOf(value: Json): Json[] {
  return Array.isArray(value) ? value : [];
}

function entriesOf(value: Json): [string, Json][] {
  return isObject(value) ? Object.entries(value) : [];
}
