import { topicMatches } from "#shared/mqtt";
import { plain, readPath, truthy, type Message } from "#shared/devices/expressions";
import {
  digitsOf,
  documentOf,
  excerpt,
  numberText,
  readBinary,
  scalarOf,
  type RejectedValue,
} from "#shared/devices/payloads";
import type { DeviceMapping, PropertyMapping } from "./mapping.ts";
import type { SourceMapping } from "./source-mapping.ts";
import { reportState, type StateMemory } from "./state-mapping.ts";
import { fitsType } from "./twin-type.ts";

/** Values read from one message of a plain device. */
export interface DeviceReport {
  readonly values: readonly { readonly name: string; readonly value: string; readonly type: string }[];
  readonly state: "online" | "offline" | undefined;
  /** Values that do not match their property. */
  readonly rejected: readonly RejectedValue[];
}

/**
 * Characters of a value that a plain device reports, for which KubeEdge has no limit: long enough for the lists and
 * documents that devices send, and small beside the megabyte that a Device may have.
 */
export const longestReportedValue = 16_384;

interface Received extends Message {
  readonly payload: Uint8Array;
  readonly text: string;
}

/**
 * Reads a message of a plain device: the values of all properties whose filter matches `topic`, and the state.
 * @param memory what the topics of the state said before; changed
 */
export function readReport(
  mapping: DeviceMapping,
  topic: string,
  payload: Uint8Array,
  memory: StateMemory = new Map(),
): DeviceReport {
  const text = Buffer.from(payload).toString("utf8");
  const message: Received = { topic, payload, text, document: lazy(() => documentOf(text)) };
  const values: { name: string; value: string; type: string }[] = [];
  const rejected: RejectedValue[] = [];
  for (const property of mapping.properties) {
    const { name, type } = property;
    const read = readProperty(property, message);
    if (read === undefined) continue;
    if (read.kind === "value") values.push({ name, value: read.value, type });
    else rejected.push({ name, problem: read.problem });
  }
  const { state, rejected: ofState } = reportState(mapping.state, topic, text, memory);
  return { values, state, rejected: [...rejected, ...ofState] };
}

type Read = { readonly kind: "value"; readonly value: string } | Problem;

interface Problem {
  readonly kind: "problem";
  readonly problem: string;
}

/** The value of the first source that has one. */
function readProperty({ type, sources }: PropertyMapping, message: Received): Read | undefined {
  let problem: Problem | undefined;
  for (const source of sources) {
    if (!topicMatches(source.topic, message.topic)) continue;
    const read = tryRead(source, type, message);
    if (read?.kind === "value") return read;
    problem ??= read;
  }
  return problem;
}

/** @returns undefined when the message does not have the value */
function tryRead(source: SourceMapping, type: string, message: Received): Read | undefined {
  try {
    const { when } = source;
    if (when && !truthy(when(scalarOf(message.text, message.document), message))) return undefined;
    const found = readPart(source, message);
    if (found.kind === "problem") return found;
    if (found.value === undefined || found.value === null) return undefined;
    const value = source.expression ? source.expression(found.value, message) : found.value;
    return readText(valueOf(value, source, type), source, { type, message });
  } catch (error) {
    // A document nested too deep.
    if (error instanceof RangeError) return unusable(message);
    throw error;
  }
}

function readText(
  text: string | null,
  { payloads }: SourceMapping,
  { type, message }: { readonly type: string; readonly message: Received },
): Read | undefined {
  if (!payloads || text === null || text === "") return judge(text, type, message);
  const meant = payloads.get(text);
  if (meant !== undefined) return judge(meant, type, message);
  return { kind: "problem", problem: `${excerpt(text)} on ${message.topic} is no known payload` };
}

/** @returns no value: the message does not have this part */
function readPart(
  { template, binary, isBytes, path }: SourceMapping,
  message: Received,
): Problem | { readonly kind: "part"; readonly value: unknown } {
  const { payload, text, document } = message;
  if (binary) {
    const value = readBinary(payload, binary);
    if (value !== undefined || payload.length === 0) return { kind: "part", value };
    return { kind: "problem", problem: `${payload.length} bytes on ${message.topic} are too few` };
  }
  if (template) {
    const rendered = template.render({ value: text });
    if (rendered.kind === "problem")
      return {
        kind: "problem",
        problem: `the template ${rendered.problem}, of ${excerpt(text)} on ${message.topic}`,
      };
    return { kind: "part", value: rendered.kind === "text" ? rendered.text : undefined };
  }
  if (isBytes) return { kind: "part", value: Buffer.from(payload).toString("base64") };
  const value = path === undefined ? scalarOf(text, document) : digitsOf(readPath(document(), path));
  return { kind: "part", value };
}

/** The value as text; null when there is none that can be used. */
function valueOf(value: unknown, { on, off, number }: SourceMapping, type: string): string | null {
  if (typeof value === "number" && !Number.isFinite(value)) return null;
  if (typeof value === "number" && isRounded(value) && type !== "float") return null;
  const text = plain(value);
  if (on !== undefined && off !== undefined) return switched(text, on, off);
  if (type === "boolean") return booleanText(text);
  if (type === "string" || typeof value !== "string") return text;
  return numberText(text, number) ?? text;
}

function switched(text: string, on: string, off: string): string {
  if (isPayload(text, on)) return "true";
  return isPayload(text, off) ? "false" : text;
}

/** Whether a text is this payload: Python writes True where JSON has true. */
function isPayload(text: string, payload: string): boolean {
  return (
    text === payload || (/^(true|false)$/i.test(payload) && text.toLowerCase() === payload.toLowerCase())
  );
}

function judge(value: string | null, type: string, message: Received): Read | undefined {
  if (value === null) return unusable(message);
  // An empty payload clears a retained message: it is no value.
  if (value === "" && type !== "string") return undefined;
  if (value.length > longestReportedValue)
    return {
      kind: "problem",
      problem: `${excerpt(value)} is longer than ${longestReportedValue} characters`,
    };
  return fitsType(value, type) === true
    ? { kind: "value", value }
    : { kind: "problem", problem: `${excerpt(value)} is not of type ${type}` };
}

function unusable({ text, topic }: Received): Problem {
  return { kind: "problem", problem: `no usable value in ${excerpt(text)} on ${topic}` };
}

/** Whether an integer may have lost digits in a calculation. */
function isRounded(value: number): boolean {
  return Number.isInteger(value) && !Number.isSafeInteger(value);
}

/** Devices send true, on, 1, "ON", …; twins have true and false. */
function booleanText(text: string): string {
  const word = text.toLowerCase();
  if (["true", "on", "1", "yes"].includes(word)) return "true";
  return ["false", "off", "0", "no"].includes(word) ? "false" : word;
}

function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
