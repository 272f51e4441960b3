import type { JsonBody } from "#shared/topics";
import { numberIn, payloadIn, textIn } from "#edge/device-twin/discovery/body";
import type { PartFields } from "./part.ts";
import { switched, type EntityTable } from "./simple.ts";

/** Components that open, lock, blow or drive. */
export const movingEntities: EntityTable = {
  cover: coverParts,
  valve: valveParts,
  lock: lockParts,
  fan: fanParts,
  vacuum: vacuumParts,
  lawn_mower: mowerParts,
  alarm_control_panel: alarmParts,
};

/** Payloads that a field may turn off with null, by the word that is desired. */
function commands(
  body: JsonBody,
  words: Readonly<Record<string, readonly [string, string]>>,
): Record<string, string> {
  const entries = Object.entries(words).flatMap(([word, [field, fallback]]) =>
    body[field] === null || (body[field] === undefined && fallback === "")
      ? []
      : [[word, payloadIn(body, field, fallback)] as const],
  );
  return Object.fromEntries(entries);
}

function states(
  body: JsonBody,
  words: readonly string[],
  written: (word: string) => string,
): Record<string, string> {
  return Object.fromEntries(words.map((word) => [payloadIn(body, `state_${word}`, written(word)), word]));
}

const same = (word: string): string => word;
const openings = ["open", "opening", "closed", "closing"];
const opened = {
  open: ["payload_open", "OPEN"],
  closed: ["payload_close", "CLOSE"],
  stopped: ["payload_stop", "STOP"],
} as const;

/** The least and the most of two numbers, whichever is which: some covers are closed at 100. */
function between(...ends: readonly [number, number]): { readonly minimum: string; readonly maximum: string } {
  return { minimum: String(Math.min(...ends)), maximum: String(Math.max(...ends)) };
}

/** A template of a command, with the names that Home Assistant gives it besides `value`. */
function withNames(
  body: JsonBody,
  field: string,
  names: Readonly<Record<string, string | number>>,
): Pick<PartFields, "setTemplate" | "setTemplateField"> {
  const template = textIn(body, field);
  if (template === undefined) return {};
  const sets = Object.entries(names).map(([name, value]) => `{% set ${name} = ${value} %}`);
  return { setTemplateField: field, setTemplate: sets.join("") + template };
}

function coverParts(body: JsonBody): PartFields[] {
  const [closed, open] = [numberIn(body, "position_closed") ?? 0, numberIn(body, "position_open") ?? 100];
  const [least, most] = [numberIn(body, "tilt_min") ?? 0, numberIn(body, "tilt_max") ?? 100];
  const ends = { position_closed: closed, position_open: open, tilt_min: least, tilt_max: most };
  return [
    {
      type: "STRING",
      topic: "state_topic",
      templates: ["value_template"],
      payloads: states(body, [...openings, "stopped"], same),
      setTopic: "command_topic",
      setPayloads: commands(body, opened),
    },
    {
      suffix: "position",
      type: "FLOAT",
      limits: between(closed, open),
      topic: "position_topic",
      templates: ["position_template"],
      setTopic: "set_position_topic",
      ...withNames(body, "set_position_template", { position: "value", ...ends }),
    },
    {
      suffix: "tilt",
      type: "FLOAT",
      limits: between(least, most),
      topic: "tilt_status_topic",
      templates: ["tilt_status_template"],
      setTopic: "tilt_command_topic",
      ...withNames(body, "tilt_command_template", { tilt_position: "value", position: "value", ...ends }),
    },
  ];
}

function valveParts(body: JsonBody): PartFields[] {
  const topics = {
    topic: "state_topic",
    templates: ["value_template"],
    setTopic: "command_topic",
    setTemplateField: "command_template",
  };
  if (body["reports_position"] === true) {
    const limits = between(numberIn(body, "position_closed") ?? 0, numberIn(body, "position_open") ?? 100);
    return [{ ...topics, type: "FLOAT", limits }];
  }
  const words = { ...opened, stopped: ["payload_stop", ""] } as const;
  return [
    { ...topics, type: "STRING", payloads: states(body, openings, same), setPayloads: commands(body, words) },
  ];
}

function lockParts(body: JsonBody): PartFields[] {
  const words = ["locked", "unlocked", "locking", "unlocking", "jammed", "open", "opening"];
  return [
    {
      type: "STRING",
      topic: "state_topic",
      templates: ["value_template"],
      payloads: states(body, words, (word) => word.toUpperCase()),
      setTopic: "command_topic",
      setTemplateField: "command_template",
      setPayloads: commands(body, {
        locked: ["payload_lock", "LOCK"],
        unlocked: ["payload_unlock", "UNLOCK"],
        open: ["payload_open", ""],
      }),
    },
  ];
}

function fanParts(body: JsonBody): PartFields[] {
  const oscillation = {
    on: payloadIn(body, "payload_oscillation_on", "oscillate_on"),
    off: payloadIn(body, "payload_oscillation_off", "oscillate_off"),
  };
  const from = (name: string): Pick<PartFields, "topic" | "templates" | "setTopic" | "setTemplateField"> => ({
    topic: `${name}_state_topic`,
    templates: [`${name}_value_template`],
    setTopic: `${name}_command_topic`,
    setTemplateField: `${name}_command_template`,
  });
  const fastest = String(numberIn(body, "speed_range_max") ?? 100);
  return [
    {
      ...switched(body),
      topic: "state_topic",
      templates: ["state_value_template"],
      setTopic: "command_topic",
      setTemplateField: "command_template",
    },
    { suffix: "speed", type: "FLOAT", limits: { minimum: "0", maximum: fastest }, ...from("percentage") },
    { suffix: "preset-mode", type: "STRING", ...from("preset_mode") },
    {
      suffix: "oscillation",
      type: "BOOLEAN",
      switched: oscillation,
      setSwitched: [oscillation.on, oscillation.off],
      ...from("oscillation"),
    },
    { suffix: "direction", type: "STRING", ...from("direction") },
  ];
}

function vacuumParts(body: JsonBody): PartFields[] {
  return [
    {
      type: "STRING",
      topic: "state_topic",
      templates: ["value_template"],
      template: textIn(body, "value_template") ?? "{{ value_json.state }}",
    },
    { suffix: "battery", type: "FLOAT", topic: "state_topic", template: "{{ value_json.battery_level }}" },
    {
      suffix: "fan-speed",
      type: "STRING",
      topic: "state_topic",
      template: "{{ value_json.fan_speed }}",
      setTopic: "set_fan_speed_topic",
    },
    {
      suffix: "command",
      type: "STRING",
      setTopic: "command_topic",
      setPayloads: commands(body, {
        start: ["payload_start", "start"],
        pause: ["payload_pause", "pause"],
        stop: ["payload_stop", "stop"],
        return: ["payload_return_to_base", "return_to_base"],
        locate: ["payload_locate", "locate"],
        "clean-spot": ["payload_clean_spot", "clean_spot"],
      }),
    },
  ];
}

function mowerParts(): PartFields[] {
  const actions = ["start_mowing", "pause", "dock"].map((name): PartFields => ({
    suffix: name.replaceAll("_", "-"),
    type: "STRING",
    setTopic: `${name}_command_topic`,
    setTemplateField: `${name}_command_template`,
    setPayload: name,
  }));
  return [
    {
      type: "STRING",
      topic: "activity_state_topic",
      templates: ["activity_value_template"],
    },
    ...actions,
  ];
}

/** A panel that wants a code is read only: the code is nowhere to be had. */
function alarmParts(body: JsonBody): PartFields[] {
  const isFree = body["code"] === undefined && textIn(body, "command_template") === undefined;
  const words = ["home", "away", "night", "vacation", "custom_bypass"].map(
    (word) => [`armed_${word}`, [`payload_arm_${word}`, `ARM_${word.toUpperCase()}`]] as const,
  );
  return [
    {
      type: "STRING",
      topic: "state_topic",
      templates: ["value_template"],
      ...(isFree
        ? {
            setTopic: "command_topic",
            setPayloads: commands(body, {
              disarmed: ["payload_disarm", "DISARM"],
              ...Object.fromEntries(words),
            }),
          }
        : {}),
    },
  ];
}
