import { topicMatches } from "#shared/mqtt";
import { plain, readPath } from "./expression.ts";
import type { DeviceMapping, PropertyMapping, StateMapping } from "./mapping.ts";
import { fitsType } from "./twin-type.ts";

export interface Report {
  readonly values: readonly { readonly name: string; readonly value: string; readonly type: string }[];
  readonly state: string | undefined;
  /** What the device sent that cannot be taken. */
  readonly misfits: readonly Misfit[];
}

export interface Misfit {
  /** of the property, or "the state" */
  readonly name: string;
  /** What is wrong with it, with the beginning of what was sent. */
  readonly problem: string;
}

/** What a message on `topic` says of a device. */
export function readReport(mapping: DeviceMapping, topic: string, payload: Uint8Array): Report {
  const text = Buffer.from(payload).toString("utf8");
  const document = lazy(() => parseScalar(text));
  const values: { name: string; value: string; type: string }[] = [];
  const misfits: Misfit[] = [];
  for (const property of mapping.properties) {
    if (property.topic === undefined || !topicMatches(property.topic, topic)) continue;
    const value = tryRead(property, text, document);
    // Nothing is what takes a retained message back.
    if (value === undefined || (value === "" && property.type !== "string")) continue;
    const good = typeof value === "string" && value.length <= 512 && fitsType(value, property.type) === true;
    if (good) values.push({ name: property.name, value, type: property.type });
    else misfits.push({ name: property.name, problem: problemOf(property.type, value, { topic, text }) });
  }
  const state = stateOf(mapping.state, topic, text);
  return { values, state, misfits: [...misfits, ...stateMisfit(mapping.state, { topic, text, state })] };
}

/** `value`: null for what cannot be made one. */
function problemOf(
  type: string,
  value: string | null,
  { topic, text }: { readonly topic: string; readonly text: string },
): string {
  if (value === null) return `no usable value in ${excerpt(text)} on ${topic}`;
  return value.length > 512
    ? `${excerpt(value)} is longer than 512 characters`
    : `${excerpt(value)} is no ${type}`;
}

function stateMisfit(
  mapping: StateMapping | undefined,
  {
    topic,
    text,
    state,
  }: { readonly topic: string; readonly text: string; readonly state: string | undefined },
): Misfit[] {
  // Nothing is what takes a retained message back.
  if (!mapping || state !== undefined || text === "" || !topicMatches(mapping.topic, topic)) return [];
  const { online, offline } = mapping;
  const problem = `${excerpt(text)} on ${topic} is neither ${excerpt(online)} nor ${excerpt(offline)}`;
  return [{ name: "the state", problem }];
}

function excerpt(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

/** @returns null for what cannot be made a value, such as JSON nested too deep */
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

/** A number too large to be kept exactly is left as it is written: counters and serial numbers have 64 bits. */
function parseScalar(text: string): unknown {
  try {
    return JSON.parse(text, manyDigits.test(text) ? keepDigits : undefined) as unknown;
  } catch {
    return text;
  }
}

const manyDigits = /\d{16}/;

/** What the types do not know of `JSON` yet. */
const sources = JSON as unknown as {
  rawJSON(text: string): object;
  isRawJSON(value: unknown): value is { readonly rawJSON: string };
};

function keepDigits(_: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source ?? "";
  const large = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source);
  return large ? sources.rawJSON(source) : value;
}

function digitsOf(part: unknown): unknown {
  return sources.isRawJSON(part) ? part.rawJSON : part;
}

/** Whether an integer may be another than the one that was meant. */
function isRounded(value: number): boolean {
  return Number.isInteger(value) && !Number.isSafeInteger(value);
}

/** Devices say true, on, 1, "ON", …; twins say true and false. */
function booleanText(value: unknown): string {
  const word = plain(value).toLowerCase();
  if (["true", "on", "1", "yes"].includes(word)) return "true";
  return ["false", "off", "0", "no"].includes(word) ? "false" : word;
}

function stateOf(state: StateMapping | undefined, topic: string, text: string): string | undefined {
  if (!state || !topicMatches(state.topic, topic)) return undefined;
  if (text === state.online) return "online";
  return text === state.offline ? "offline" : undefined;
}

function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
