import type { ModelProperty } from "#shared/kube";
import type { JsonBody } from "#shared/topics";
import { numberIn, payloadIn, textIn } from "#edge/device-twin/discovery/body";
import { switchedPayloads, type PartFields } from "./part.ts";

/** The properties of a component, by its name in topics. */
export type EntityTable = Readonly<Record<string, (body: JsonBody) => readonly PartFields[]>>;

const state = { topic: "state_topic", templates: ["value_template"] } as const;
const command = { setTopic: "command_topic", setTemplateField: "command_template" } as const;

/** Components with one value or a few. */
export const simpleEntities: EntityTable = {
  sensor: (body) => [{ ...state, type: sensorType(body), limits: unitOf(body) }],
  binary_sensor: (body) => [{ ...switched(body), ...state, more: offDelay(body) }],
  switch: (body) => [{ ...switched(body), ...state, ...command }],
  number: (body) => [
    { ...state, ...command, type: "FLOAT", limits: { ...range(body, "min", "max"), ...unitOf(body) } },
  ],
  select: () => [{ ...state, ...command, type: "STRING" }],
  text: () => [{ ...state, ...command, type: "STRING" }],
  date: () => [{ ...state, ...command, type: "STRING" }],
  time: () => [{ ...state, ...command, type: "STRING" }],
  datetime: () => [{ ...state, ...command, type: "STRING" }],
  notify: () => [{ ...command, type: "STRING" }],
  // Any new desired value presses it.
  button: (body) => [{ ...command, type: "STRING", setPayload: payloadIn(body, "payload_press", "PRESS") }],
  scene: (body) => [{ ...command, type: "STRING", setPayload: payloadIn(body, "payload_on", "ON") }],
  event: (body) => [{ ...state, type: "STRING", template: eventTemplate(body) }],
  tag: () => [{ topic: "topic", templates: ["value_template"], type: "STRING" }],
  device_tracker: (body) => [
    {
      ...state,
      type: "STRING",
      ...(textIn(body, "value_template") === undefined
        ? {
            payloads: {
              [payloadIn(body, "payload_home", "home")]: "home",
              [payloadIn(body, "payload_not_home", "not_home")]: "not_home",
            },
          }
        : {}),
    },
  ],
  update: (body) => updateParts(body),
  siren: (body) => sirenParts(body),
  device_automation: (body) => [
    { topic: "topic", templates: ["value_template"], type: "STRING", suffix: triggerName(body) },
  ],
};

/** Home Assistant takes a sensor for a number when it has a unit or a state class. */
function sensorType(body: JsonBody): "FLOAT" | "STRING" {
  return textIn(body, "unit_of_measurement") !== undefined || textIn(body, "state_class") !== undefined
    ? "FLOAT"
    : "STRING";
}

export function unitOf(body: JsonBody): Pick<ModelProperty, "unit"> {
  const unit = textIn(body, "unit_of_measurement");
  return unit === undefined ? {} : { unit };
}

/** Bounds of a number in two fields. */
export function range(
  body: JsonBody,
  least: string,
  most: string,
): Pick<ModelProperty, "minimum" | "maximum"> {
  const [minimum, maximum] = [numberIn(body, least), numberIn(body, most)];
  return {
    ...(minimum === undefined ? {} : { minimum: String(minimum) }),
    ...(maximum === undefined ? {} : { maximum: String(maximum) }),
  };
}

/** On or off, with the payloads that are announced. */
export function switched(body: JsonBody): Pick<PartFields, "type" | "switched" | "setSwitched"> {
  const { set, read } = switchedPayloads(body);
  return { type: "BOOLEAN", switched: read, setSwitched: set };
}

function offDelay(body: JsonBody): Readonly<Record<string, unknown>> {
  const seconds = numberIn(body, "off_delay");
  return seconds === undefined || seconds <= 0 ? {} : { offDelay: String(seconds) };
}

/** Events are JSON documents with their type, which is the value. */
function eventTemplate(body: JsonBody): string {
  const template = textIn(body, "value_template");
  return template === undefined
    ? "{{ value_json.event_type }}"
    : `{% set said %}${template}{% endset %}{{ (said | from_json).event_type }}`;
}

/** The installed version may be a text, or one field of a document with the latest one. */
function updateParts(body: JsonBody): PartFields[] {
  const said = `{% set said %}${textIn(body, "value_template") ?? "{{ value }}"}{% endset %}{% set doc = said | from_json(none) %}`;
  const latest = textIn(body, "latest_version_topic");
  const install = payloadIn(body, "payload_install", "");
  return [
    {
      topic: "state_topic",
      type: "STRING",
      templates: ["value_template"],
      template: `${said}{{ doc.installed_version if doc is mapping else said }}`,
    },
    latest === undefined
      ? {
          topic: "state_topic",
          type: "STRING",
          suffix: "latest",
          templates: ["value_template"],
          template: `${said}{{ doc.latest_version if doc is mapping else none }}`,
        }
      : {
          topic: "latest_version_topic",
          templates: ["latest_version_template"],
          type: "STRING",
          suffix: "latest",
        },
    ...(install === ""
      ? []
      : [{ ...command, type: "STRING" as const, suffix: "install", setPayload: install }]),
  ];
}

/** Without a template a siren gets a JSON document; it reports one, or a text. */
function sirenParts(body: JsonBody): PartFields[] {
  const { set, read } = switchedPayloads(body);
  const [on, off] = set;
  const json = (payload: string): string => JSON.stringify({ state: payload });
  const onTemplate = textIn(body, "command_template");
  const offTemplate = textIn(body, "command_off_template") ?? onTemplate;
  const said = `{% set said %}${textIn(body, "state_value_template") ?? "{{ value }}"}{% endset %}{% set doc = said | from_json(none) %}`;
  return [
    {
      topic: "state_topic",
      templates: ["state_value_template"],
      template: `${said}{{ doc.state if doc is mapping else said }}`,
      type: "BOOLEAN",
      switched: read,
      setTopic: "command_topic",
      setTemplateField: "command_template",
      ...(onTemplate === undefined
        ? { setSwitched: [json(on), json(off)] as const }
        : { setSwitched: set, setTemplate: chosen(on, onTemplate, offTemplate ?? "") }),
    },
  ];
}

/** One template for on and another one for off. */
export function chosen(on: string, onTemplate: string, offTemplate: string): string {
  return `{% set state = value %}{% if value == ${JSON.stringify(on)} %}${onTemplate}{% else %}${offTemplate}{% endif %}`;
}

/** Triggers of a device share the topic on which they are reported: the value is which of them it was. */
function triggerName(body: JsonBody): string {
  const topic = textIn(body, "topic") ?? "";
  return `trigger-${topic.split("/").at(-1) ?? ""}`;
}
