import type { JsonBody } from "#shared/topics";
import { payloadIn, textIn } from "#edge/device-twin/discovery/body";
import type { PartFields } from "./part.ts";
import { range, switched, type EntityTable } from "./simple.ts";

/** Components that heat, cool and humidify. */
export const climateEntities: EntityTable = {
  climate: (body) => climateParts(body),
  water_heater: (body) => climateParts(body),
  humidifier: (body) => [
    {
      ...switched(body),
      topic: "state_topic",
      templates: ["state_value_template"],
      setTopic: "command_topic",
      setTemplateField: "command_template",
    },
    ...humidity(body),
    mode(),
    action(),
  ],
};

function climateParts(body: JsonBody): PartFields[] {
  const unit = temperatureUnit(body);
  const target = { type: "FLOAT", limits: { ...range(body, "min_temp", "max_temp"), ...unit } } as const;
  return [
    mode(),
    { suffix: "temperature", ...target, ...from("temperature") },
    { suffix: "temperature-low", ...target, ...from("temperature_low") },
    { suffix: "temperature-high", ...target, ...from("temperature_high") },
    {
      suffix: "current-temperature",
      type: "FLOAT",
      limits: unit,
      topic: "current_temperature_topic",
      templates: ["current_temperature_template"],
    },
    ...humidity(body),
    { suffix: "fan-mode", type: "STRING", ...from("fan_mode") },
    { suffix: "swing-mode", type: "STRING", ...from("swing_mode") },
    { suffix: "swing-horizontal-mode", type: "STRING", ...from("swing_horizontal_mode") },
    { suffix: "preset-mode", type: "STRING", ...from("preset_mode", "preset_mode_value_template") },
    action(),
    {
      suffix: "power",
      type: "BOOLEAN",
      setTopic: "power_command_topic",
      setTemplateField: "power_command_template",
      setSwitched: [payloadIn(body, "payload_on", "ON"), payloadIn(body, "payload_off", "OFF")],
    },
  ];
}

function mode(): PartFields {
  return { suffix: "mode", type: "STRING", ...from("mode") };
}

function action(): PartFields {
  return {
    suffix: "action",
    type: "STRING",
    topic: "action_topic",
    templates: ["action_template", "value_template"],
  };
}

function humidity(body: JsonBody): PartFields[] {
  return [
    {
      suffix: "humidity",
      type: "FLOAT",
      limits: { ...range(body, "min_humidity", "max_humidity"), unit: "%" },
      ...from("target_humidity"),
    },
    {
      suffix: "current-humidity",
      type: "FLOAT",
      limits: { unit: "%" },
      topic: "current_humidity_topic",
      templates: ["current_humidity_template"],
    },
  ];
}

function from(
  name: string,
  template = `${name}_state_template`,
): Pick<PartFields, "topic" | "templates" | "setTopic" | "setTemplateField"> {
  return {
    topic: `${name}_state_topic`,
    templates: [template, "value_template"],
    setTopic: `${name}_command_topic`,
    setTemplateField: `${name}_command_template`,
  };
}

function temperatureUnit(body: JsonBody): { readonly unit?: string } {
  const unit = textIn(body, "temperature_unit");
  return unit === undefined ? {} : { unit: unit.length === 1 ? `°${unit}` : unit };
}
