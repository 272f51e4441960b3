import { isRecord } from "#shared/json";
import type { JsonBody } from "#shared/topics";

/**
 * The abbreviations of Home Assistant's documentation ("Supported abbreviations in MQTT discovery messages") used here.
 */
const longNames: ReadonlyMap<string, string> = new Map([
  ["stat_t", "state_topic"],
  ["cmd_t", "command_topic"],
  ["cmd_tpl", "command_template"],
  ["val_tpl", "value_template"],
  ["stat_val_tpl", "state_value_template"],
  ["uniq_id", "unique_id"],
  ["unit_of_meas", "unit_of_measurement"],
  ["dev", "device"],
  ["ids", "identifiers"],
  ["avty", "availability"],
  ["avty_t", "availability_topic"],
  ["avty_tpl", "availability_template"],
  ["pl_avail", "payload_available"],
  ["pl_not_avail", "payload_not_available"],
  ["pl_on", "payload_on"],
  ["pl_off", "payload_off"],
  ["stat_on", "state_on"],
  ["stat_off", "state_off"],
]);
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
    const long = name === "t" ? "topic" : (longNames.get(name) ?? name);
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
