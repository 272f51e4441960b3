import { topicMatches } from "#shared/mqtt";
import { plain, readPath } from "./expression.ts";
import type { DeviceMapping, PropertyMapping, StateMapping } from "./mapping.ts";
import { fitsType, longestTwinValue } from "./twin-type.ts";

/** Values read from one message of a plain device. */
export interface DeviceReport {
  readonly values: readonly { readonly name: string; readonly value: string; readonly type: string }[];
  readonly state: "online" | "offline" | undefined;
  /** Values that do not match their property. */
  readonly rejected: readonly RejectedValue[];
}

/** A value that does not match the property it was sent for. */
export interface RejectedValue {
  /** Name of the property, or "the state". */
  readonly name: string;
  /** What is wrong, with the first characters of the value. */
  readonly problem: string;
}

/** Reads a message of a plain device: the values of all properties whose filter matches `topic`, and the state. */
export function readReport(mapping: DeviceMapping, topic: string, payload: Uint8Array): DeviceReport {
  const text = Buffer.from(payload).toString("utf8");
  const document = lazy(() => parseScalar(text));
  const values: { name: string; value: string; type: string }[] = [];
  const rejected: RejectedValue[] = [];
  for (const property of mapping.properties) {
    if (property.topic === undefined || !topicMatches(property.topic, topic)) continue;
    const value = tryRead(property, text, document);
    // An empty payload clears a retained message: it is no value.
    if (value === undefined || (value === "" && property.type !== "string")) continue;
    const fits =
      typeof value === "string" &&
      value.length <= longestTwinValue &&
      fitsType(value, property.type) === true;
    if (fits) values.push({ name: property.name, value, type: property.type });
    else rejected.push({ name: property.name, problem: problemOf(property.type, value, { topic, text }) });
  }
  const state = stateOf(mapping.state, topic, text);
  return { values, state, rejected: [...rejected, ...rejectedState(mapping.state, { topic, text, state })] };
}

/** @param value null when the message has none that can be used */
function problemOf(
  type: string,
  value: string | null,
  { topic, text }: { readonly topic: string; readonly text: string },
): string {
  if (value === null) return `no usable value in ${excerpt(text)} on ${topic}`;
  return value.length > longestTwinValue
    ? `${excerpt(value)} is longer than ${longestTwinValue} characters`
    : `${excerpt(value)} is not of type ${type}`;
}

function rejectedState(
  mapping: StateMapping | undefined,
  {
    topic,
    text,
    state,
  }: { readonly topic: string; readonly text: string; readonly state: string | undefined },
): RejectedValue[] {
  // An empty payload clears a retained message.
  if (!mapping || state !== undefined || text === "" || !topicMatches(mapping.topic, topic)) return [];
  const { online, offline } = mapping;
  const problem = `${excerpt(text)} on ${topic} is neither ${excerpt(online)} nor ${excerpt(offline)}`;
  return [{ name: "the state", problem }];
}

function excerpt(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

/**
 * @returns null when the message has no usable value, as with JSON nested too deep; undefined when it has none at all
 */
function tryRead(
  property: PropertyMapping,
  text: string,
  document: () => unknown,
): string | null | undefined {
  try {
    return readValue(property, text, document);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function readValue(
  property: PropertyMapping,
  text: string,
  document: () => unknown,
): string | null | undefined {
  const part = property.path === undefined ? scalar(text) : digitsOf(readPath(document(), property.path));
  if (part === undefined || part === null) return undefined;
  const value = property.expression ? property.expression(part) : part;
  if (typeof value === "number" && !Number.isFinite(value)) return null;
  if (typeof value === "number" && isRounded(value) && property.type !== "float") return null;
  return property.type === "boolean" ? booleanText(value) : plain(value);
}

function scalar(text: string): unknown {
  const value = digitsOf(parseScalar(text));
  return typeof value === "object" ? text : value;
}

/** JSON or plain text. Integers beyond 2^53 keep their digits: counters and serial numbers have 64 bits. */
function parseScalar(text: string): unknown {
  try {
    return JSON.parse(text, manyDigits.test(text) ? keepDigits : undefined) as unknown;
  } catch {
    return text;
  }
}

/** 2^53 has 16 digits; shorter numbers need no reviver. */
const manyDigits = /\d{16}/;

/** The types do not have these members of `JSON` yet, hence the cast. */
const sourceTexts = JSON as unknown as {
  rawJSON(text: string): object;
  isRawJSON(value: unknown): value is { readonly rawJSON: string };
};

function keepDigits(_: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source ?? "";
  const large = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source);
  return large ? sourceTexts.rawJSON(source) : value;
}

function digitsOf(part: unknown): unknown {
  return sourceTexts.isRawJSON(part) ? part.rawJSON : part;
}

/** Whether an integer may have lost digits in a calculation. */
function isRounded(value: number): boolean {
  return Number.isInteger(value) && !Number.isSafeInteger(value);
}

/** Devices send true, on, 1, "ON", …; twins have true and false. */
function booleanText(value: unknown): string {
  const word = plain(value).toLowerCase();
  if (["true", "on", "1", "yes"].includes(word)) return "true";
  return ["false", "off", "0", "no"].includes(word) ? "false" : word;
}

function stateOf(state: StateMapping | undefined, topic: string, text: string): DeviceReport["state"] {
  if (!state || !topicMatches(state.topic, topic)) return undefined;
  if (text === state.online) return "online";
  return text === state.offline ? "offline" : undefined;
}

function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
