import { quoteText, translateTemplate } from "#shared/devices";
import { isRecord } from "#shared/json";
import type { ModelProperty } from "#shared/kube";
import type { JsonBody } from "#shared/topics";
import { payloadIn, textIn } from "./announcement-body.ts";

/** Components that are on or off. */
const onOff = new Set(["binary_sensor", "switch", "light", "fan"]);
/**
 * The `visitors.configData` of an entity, as `DeviceMapping` has it.
 * @param topic its state topic
 * @throws SyntaxError for what a mapping cannot express
 */
export function entityConfig(component: string, body: JsonBody, topic: string): Record<string, string> {
  const isJson = component === "light" && body["schema"] === "json";
  if (component === "light" && body["schema"] === "template") throw new SyntaxError("schema template");
  const template = isJson ? "{{ value_json.state }}" : templateOf(body);
  const { path, expression } = translate(template);
  const on = payloadIn(body, "payload_on", "ON");
  const off = payloadIn(body, "payload_off", "OFF");
  if (!onOff.has(component))
    return { topic, ...path, ...(expression === "value" ? {} : { expression }), ...commandOf(body) };
  const [isOn, isOff] = [payloadIn(body, "state_on", on), payloadIn(body, "state_off", off)];
  const command = (payload: string): string => (isJson ? JSON.stringify({ state: payload }) : payload);
  return {
    topic,
    ...path,
    // Any other payload is rejected: the text is not of type boolean.
    expression: `${isPayload(expression, isOn)} ? true : ${isPayload(expression, isOff)} ? false : "neither"`,
    ...commandOf(body, [command(on), command(off)]),
  };
}

function templateOf(body: JsonBody): string {
  return textIn(body, "value_template") ?? textIn(body, "state_value_template") ?? "{{ value }}";
}

function translate(template: string): {
  readonly path: { readonly path?: string };
  readonly expression: string;
} {
  const translated = translateTemplate(template);
  if (!translated.ok)
    throw new SyntaxError(`value_template ${JSON.stringify(template.slice(0, 100))} ${translated.problem}`);
  const { path, expression } = translated;
  return { path: path === undefined ? {} : { path }, expression };
}

function commandOf(body: JsonBody, onOffPayloads?: readonly [string, string]): Record<string, string> {
  const setTopic = textIn(body, "command_topic");
  if (setTopic === undefined) return {};
  const template = textIn(body, "command_template");
  if (template === undefined) {
    const [setOn, setOff] = onOffPayloads ?? [];
    return {
      setTopic,
      ...(setOn === undefined ? {} : { setOn }),
      ...(setOff === undefined ? {} : { setOff }),
    };
  }
  if (/\{%|\{\{/.test(template.replaceAll(/\{\{\s*value\s*\}\}/g, "")))
    throw new SyntaxError(
      `command_template ${JSON.stringify(template.slice(0, 100))} has more than {{ value }}`,
    );
  const [setOn, setOff] = (onOffPayloads ?? []).map((payload) =>
    template.replaceAll(/\{\{\s*value\s*\}\}/g, () => payload),
  );
  if (setOn !== undefined && setOff !== undefined) return { setTopic, setOn, setOff };
  return { setTopic, setPayload: template };
}

function isPayload(expression: string, payload: string): string {
  // Python writes True where JSON has true.
  if (/^(true|false)$/i.test(payload)) return `lower(${expression}) == "${payload.toLowerCase()}"`;
  const quoted = quoteText(payload);
  if (quoted === undefined) throw new SyntaxError(`payload ${payload.slice(0, 50)} has both kinds of quotes`);
  return `${expression} == ${quoted}`;
}

/** Topic and payloads of the state. With several topics none of them alone is the state of the device. */
export function availabilityOf(body: JsonBody): {
  readonly state: Readonly<Record<string, string>>;
  readonly problem: string | undefined;
} {
  const list = Array.isArray(body["availability"]) ? body["availability"].filter(isRecord) : undefined;
  const source = list?.[0] ?? body;
  const stateTopic = textIn(source, list ? "topic" : "availability_topic");
  if (stateTopic === undefined) return { state: {}, problem: undefined };
  if (list && list.length > 1)
    return { state: {}, problem: "availability has more than one topic: its state is not read" };
  if (textIn(source, list ? "value_template" : "availability_template") !== undefined)
    return { state: {}, problem: "availability has a template: its state is not read" };
  const onlinePayload = payloadIn(source, "payload_available", "online");
  const offlinePayload = payloadIn(source, "payload_not_available", "offline");
  return { state: { stateTopic, onlinePayload, offlinePayload }, problem: undefined };
}

/** The type of the property of an entity. */
export function entityType(component: string, body: JsonBody): "BOOLEAN" | "FLOAT" | "STRING" {
  if (onOff.has(component)) return "BOOLEAN";
  return component === "number" || textIn(body, "unit_of_measurement") !== undefined ? "FLOAT" : "STRING";
}

/** Bounds of a number, and the unit. */
export function entityLimits(
  component: string,
  body: JsonBody,
): Pick<ModelProperty, "minimum" | "maximum" | "unit"> {
  const unit = textIn(body, "unit_of_measurement");
  const isNumber = component === "number";
  return {
    ...(isNumber && typeof body["min"] === "number" ? { minimum: String(body["min"]) } : {}),
    ...(isNumber && typeof body["max"] === "number" ? { maximum: String(body["max"]) } : {}),
    ...(unit === undefined ? {} : { unit }),
  };
}
