import type { JsonBody } from "#shared/topics";
import { numberIn, textIn, textsIn } from "#edge/device-twin/discovery/body";
import type { PartFields } from "./part.ts";
import { chosen, range, switched } from "./simple.ts";

type Fields = PartFields;

/** The properties of a light in one of Home Assistant's three schemas. */
export function lightParts(body: JsonBody): Fields[] {
  if (body["schema"] === "json") return jsonLight(body);
  return body["schema"] === "template" ? templateLight(body) : plainLight(body);
}

function brightness(body: JsonBody): Pick<Fields, "suffix" | "type" | "limits"> {
  const maximum = String(numberIn(body, "brightness_scale") ?? 255);
  return { suffix: "brightness", type: "FLOAT", limits: { minimum: "0", maximum } };
}

function colorTemperature(body: JsonBody): Pick<Fields, "suffix" | "type" | "limits"> {
  const isKelvin = body["color_temp_kelvin"] === true;
  const limits = isKelvin
    ? { ...range(body, "min_kelvin", "max_kelvin"), unit: "K" }
    : { ...range(body, "min_mireds", "max_mireds"), unit: "mired" };
  return { suffix: "color-temp", type: "FLOAT", limits };
}

/** Colours in the schema without a name, with the names of their parts in templates. */
const colors: Readonly<Record<string, readonly string[]>> = {
  rgb: ["red", "green", "blue"],
  hs: ["hue", "sat"],
  xy: ["x", "y"],
  rgbw: ["red", "green", "blue", "white"],
  rgbww: ["red", "green", "blue", "cold_white", "warm_white"],
};

function plainLight(body: JsonBody): Fields[] {
  const from = (
    name: string,
    kind = "value",
  ): Pick<Fields, "topic" | "templates" | "setTopic" | "setTemplateField"> => ({
    topic: `${name}_state_topic`,
    templates: [`${name}_${kind}_template`],
    setTopic: `${name}_command_topic`,
    setTemplateField: `${name}_command_template`,
  });
  return [
    {
      ...switched(body),
      topic: "state_topic",
      templates: ["state_value_template", "value_template"],
      setTopic: "command_topic",
    },
    { ...brightness(body), ...from("brightness") },
    { ...colorTemperature(body), ...from("color_temp") },
    { suffix: "effect", type: "STRING", ...from("effect") },
    ...Object.entries(colors).map(([name, parts]): Fields => {
      const template = textIn(body, `${name}_command_template`);
      const fields: Fields = { suffix: name, type: "STRING", ...from(name) };
      return template === undefined
        ? fields
        : { ...fields, setTemplate: named(parts, numberOf(name)) + template };
    }),
    {
      suffix: "color-mode",
      type: "STRING",
      topic: "color_mode_state_topic",
      templates: ["color_mode_value_template"],
    },
    {
      suffix: "white",
      type: "FLOAT",
      limits: { minimum: "0", maximum: String(numberIn(body, "white_scale") ?? 255) },
      setTopic: "white_command_topic",
    },
  ];
}

function numberOf(color: string): "int" | "float" {
  return color.startsWith("rgb") ? "int" : "float";
}

/** Gives the parts of the value `255,0,0` the names that a template reads. */
function named(names: readonly string[], type: "int" | "float"): string {
  const sets = names.map((name, index) => `{% set ${name} = parts[${index}] | ${type} %}`);
  return `{% set parts = value.split(",") %}${sets.join("")}`;
}

/** Colours of the JSON schema: the keys of the document, in the order in which the value has them. */
const jsonColors: Readonly<Record<string, readonly string[]>> = {
  rgb: ["r", "g", "b"],
  hs: ["h", "s"],
  xy: ["x", "y"],
  rgbw: ["r", "g", "b", "w"],
  rgbww: ["r", "g", "b", "c", "w"],
};

const jsonTopics = { topic: "state_topic", setTopic: "command_topic" };

/** A light is switched on with everything that is set. */
function on(rest: string): string {
  return `{"state":"ON",${rest}}`;
}

function jsonLight(body: JsonBody): Fields[] {
  const modes = textsIn(body, "supported_color_modes");
  const has = (name: string): boolean => modes.includes(name) || body[name] === true;
  const isDimmed = has("brightness") || modes.some((mode) => mode !== "onoff");
  const all: readonly (readonly [boolean, Fields])[] = [
    [true, jsonSwitch],
    [isDimmed, { ...brightness(body), ...jsonTopics, ...jsonNumber("brightness") }],
    [has("color_temp"), { ...colorTemperature(body), ...jsonTopics, ...jsonNumber("color_temp") }],
    [has("effect"), jsonEffect],
    ...Object.keys(jsonColors).map((name) => [has(name), jsonColor(name)] as const),
    [
      modes.length > 1,
      { topic: "state_topic", suffix: "color-mode", type: "STRING", template: "{{ value_json.color_mode }}" },
    ],
  ];
  return all.flatMap(([isShown, fields]) => (isShown ? [fields] : []));
}

const jsonSwitch: Fields = {
  ...jsonTopics,
  type: "BOOLEAN",
  template: "{{ value_json.state }}",
  switched: { on: "ON", off: "OFF" },
  setSwitched: ['{"state":"ON"}', '{"state":"OFF"}'],
};

const jsonEffect: Fields = {
  ...jsonTopics,
  suffix: "effect",
  type: "STRING",
  template: "{{ value_json.effect }}",
  setTemplate: on('"effect":{{ value | to_json }}'),
};

function jsonNumber(name: string): Pick<Fields, "template" | "setTemplate"> {
  return { template: `{{ value_json.${name} }}`, setTemplate: on(`"${name}":{{ value }}`) };
}

function jsonColor(name: string): Fields {
  const keys = jsonColors[name] ?? [];
  const set = keys.map((key, index) => `"${key}":{{ value.split(",")[${index}] | ${numberOf(name)} }}`);
  return {
    ...jsonTopics,
    suffix: name,
    type: "STRING",
    template: `{{ ${keys.map((key) => `value_json.color.${key}`).join(" ~ ',' ~ ")} }}`,
    setTemplate: on(`"color":{${set.join(",")}}`),
  };
}

const rgb = ["red", "green", "blue"];

function templateLight(body: JsonBody): Fields[] {
  const template = (name: string): string | undefined => textIn(body, `${name}_template`);
  const [on, off] = [template("command_on"), template("command_off")];
  const set = (names: string): Pick<Fields, "setTopic" | "setTemplate"> =>
    on === undefined ? {} : { setTopic: "command_topic", setTemplate: `${names}{% set state = "on" %}${on}` };
  const part = (name: string, fields: Pick<Fields, "suffix" | "type" | "limits">): Fields[] =>
    template(name) === undefined
      ? []
      : [
          {
            ...fields,
            topic: "state_topic",
            templates: [`${name}_template`],
            ...set(`{% set ${name} = value %}`),
          },
        ];
  return [
    {
      type: "BOOLEAN",
      topic: "state_topic",
      templates: ["state_template"],
      switched: { on: "on", off: "off" },
      ...(on === undefined || off === undefined
        ? {}
        : { setTopic: "command_topic", setSwitched: ["on", "off"], setTemplate: chosen("on", on, off) }),
    },
    ...part("brightness", brightness({})),
    ...part("color_temp", colorTemperature(body)),
    ...part("effect", { suffix: "effect", type: "STRING" }),
    ...(rgb.every((name) => template(name) !== undefined)
      ? [{ ...templateColor(template), ...set(named(rgb, "int")) }]
      : []),
  ];
}

function templateColor(template: (name: string) => string | undefined): Fields {
  const captured = rgb.map((name) => `{% set ${name} %}${template(name) ?? ""}{% endset %}`);
  return {
    suffix: "rgb",
    type: "STRING",
    topic: "state_topic",
    template: `${captured.join("")}{{ red | int ~ ',' ~ green | int ~ ',' ~ blue | int }}`,
  };
}
