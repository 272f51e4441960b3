import { isRecord } from "#shared/json";
import type { JsonBody } from "#shared/topics";
import { longNames } from "./abbreviations.ts";

/** The body with abbreviations expanded and `~` in topics replaced, also in the objects in it, but no deeper. */
export function expandBody(body: JsonBody): JsonBody {
  const base = typeof body["~"] === "string" ? body["~"] : undefined;
  const inner = (value: unknown): unknown => (isRecord(value) ? expandNames(value, base) : value);
  const entries = Object.entries(expandNames(body, base)).map(([name, value]): [string, unknown] => [
    name,
    Array.isArray(value) ? value.map(inner) : inner(value),
  ]);
  return Object.fromEntries(entries);
}

function expandNames(body: JsonBody, base: string | undefined): JsonBody {
  const entries = Object.entries(body).map(([name, value]): [string, unknown] => {
    const long = longNames.get(name) ?? name;
    const isTopic = typeof value === "string" && (long === "topic" || long.endsWith("_topic"));
    return [long, isTopic && base !== undefined ? fillBase(value, base) : value];
  });
  return Object.fromEntries(entries);
}

/** `~` at the start or the end of a topic stands for the base topic. */
function fillBase(topic: string, base: string): string {
  if (topic.startsWith("~")) return base + topic.slice(1);
  return topic.endsWith("~") ? topic.slice(0, -1) + base : topic;
}

/** A payload, which may be a number or a boolean in JSON; `fallback` when there is none. */
export function payloadIn(body: JsonBody, name: string, fallback: string): string {
  const value = body[name];
  if (typeof value === "boolean" || typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : fallback;
}

/** A text that is not empty. */
export function textIn(body: JsonBody, name: string): string | undefined {
  const value = body[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A number, which may be written as a text. */
export function numberIn(body: JsonBody, name: string): number | undefined {
  const value = body[name];
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

/** The texts of a list; empty when there is none. */
export function textsIn(body: JsonBody, name: string): readonly string[] {
  const value = body[name];
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}
