import { isRecord } from "#shared/json";
import type { WireHeader, WireMessage, WireRoute } from "./message.ts";

export type Decoded =
  { readonly ok: true; readonly message: WireMessage } | { readonly ok: false; readonly reason: string };

/** Reads one frame. A bad frame is a value, not an exception: peers send them. */
export function decode(frame: string): Decoded {
  if (nestsTooDeep(frame)) return refuse("nested too deep");
  let value: unknown;
  try {
    value = JSON.parse(frame);
  } catch {
    return refuse("not JSON");
  }
  if (!isRecord(value)) return refuse("not an object");
  const header = decodeHeader(value["header"]);
  if (typeof header === "string") return refuse(header);
  const route = decodeRoute(value["route"]);
  if (typeof route === "string") return refuse(route);
  const { bytes } = value;
  const more = typeof bytes === "string" ? { bytes } : {};
  return { ok: true, message: { header, route, content: value["content"] ?? null, ...more } };
}

/** One frame: the JSON document without a newline. */
export function encode(message: WireMessage): string {
  return JSON.stringify(message);
}

/** No object nests so far; what goes through contents recursively, writing them included, would run out of stack. */
const deepest = 512;

/** Counts brackets outside of texts, before they are parsed; most frames have not so many at all. */
function nestsTooDeep(frame: string): boolean {
  if (frame.length <= deepest || countOf(frame, "{") + countOf(frame, "[") <= deepest) return false;
  let depth = 0;
  for (let index = 0; index < frame.length; index += 1) {
    const code = frame.charCodeAt(index);
    if (code === quote) index = endOfText(frame, index);
    else if (code === openBrace || code === openBracket) depth += 1;
    else if (code === closeBrace || code === closeBracket) depth -= 1;
    if (depth > deepest) return true;
  }
  return false;
}

function countOf(frame: string, bracket: string): number {
  let count = 0;
  for (
    let index = frame.indexOf(bracket);
    index >= 0 && count <= deepest;
    index = frame.indexOf(bracket, index + 1)
  )
    count += 1;
  return count;
}

const [quote, backslash, openBracket, closeBracket, openBrace, closeBrace] = [34, 92, 91, 93, 123, 125];

function endOfText(frame: string, start: number): number {
  let end = frame.indexOf('"', start + 1);
  while (end > 0 && isEscaped(frame, end)) end = frame.indexOf('"', end + 1);
  return end < 0 ? frame.length : end;
}

function isEscaped(frame: string, index: number): boolean {
  let before = index - 1;
  while (frame.charCodeAt(before) === backslash) before -= 1;
  return (index - before) % 2 === 0;
}

function refuse(reason: string): Decoded {
  return { ok: false, reason };
}

function decodeHeader(value: unknown): WireHeader | string {
  if (!isRecord(value)) return "header: expected an object";
  const id = value["msg_id"];
  if (typeof id !== "string" || id === "") return "header.msg_id: expected a non-empty string";
  const timestamp = value["timestamp"];
  const texts = optionalTexts(value, "header", ["parent_msg_id", "resourceversion", "type"]);
  if (typeof texts === "string") return texts;
  return {
    msg_id: id,
    timestamp: typeof timestamp === "number" ? timestamp : 0,
    ...texts,
    ...(value["sync"] === true ? { sync: true } : {}),
  };
}

function decodeRoute(value: unknown): WireRoute | string {
  if (!isRecord(value)) return "route: expected an object";
  return optionalTexts(value, "route", ["source", "destination", "group", "operation", "resource"]);
}

/** KubeEdge v0.x sends empty strings where v1.x leaves the field out: both read as absent. */
function optionalTexts(
  from: Record<string, unknown>,
  path: string,
  names: readonly string[],
): Record<string, string> | string {
  const found: Record<string, string> = {};
  for (const name of names) {
    const value = from[name];
    if (value === undefined || value === null || value === "") continue;
    if (typeof value !== "string") return `${path}.${name}: expected a string`;
    found[name] = value;
  }
  return found;
}
