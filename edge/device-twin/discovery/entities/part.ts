import { commandNames, quoteText, translateTemplate } from "#shared/devices";
import { templateProblem } from "#shared/jinja";
import type { ModelProperty } from "#shared/kube";
import type { JsonBody } from "#shared/topics";
import { payloadIn, textIn } from "#edge/device-twin/discovery/body";

/** One property of an entity: a light has its state, brightness, colour and so on. */
export interface Part {
  /** Added to the name of the entity; "" for its main property. */
  readonly suffix: string;
  readonly type: "BOOLEAN" | "FLOAT" | "STRING";
  readonly accessMode: "ReadOnly" | "ReadWrite";
  readonly limits: Pick<ModelProperty, "minimum" | "maximum" | "unit">;
  /** `visitors.configData`, as `DeviceMapping` has it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** What of it cannot be used. */
  readonly problem?: string;
}

/** Where a part is read and written, by the names of fields in the announcement. */
export interface PartFields {
  readonly suffix?: string;
  readonly type: Part["type"];
  readonly limits?: Part["limits"];
  /** Field with the topic of the value. */
  readonly topic?: string;
  /** Fields with its template; the first that is there counts. */
  readonly templates?: readonly string[];
  /** The template itself, in place of one that the announcement has. */
  readonly template?: string | undefined;
  readonly switched?: Switched | undefined;
  /** Payload → value, for values that are words of Home Assistant. */
  readonly payloads?: Readonly<Record<string, string>>;
  readonly setTopic?: string;
  readonly setTemplateField?: string;
  readonly setTemplate?: string | undefined;
  /** A payload that does not depend on the value. */
  readonly setPayload?: string | undefined;
  readonly setSwitched?: readonly [string, string] | undefined;
  /** Value → payload. */
  readonly setPayloads?: Readonly<Record<string, string>>;
  readonly more?: Readonly<Record<string, unknown>>;
}

/** Payloads for on and off. */
export interface Switched {
  readonly on: string;
  readonly off: string;
}

type Config = Readonly<Record<string, unknown>>;

/**
 * A part with what is usable of it: one whose template is not understood is not read, and one whose command cannot be made
 * is read only.
 * @returns undefined when the announcement has neither its topic nor its command
 */
export function partOf(body: JsonBody, fields: PartFields): Part | undefined {
  const topic = fields.topic === undefined ? undefined : textIn(body, fields.topic);
  const setTopic = setTopicOf(body, fields);
  if (topic === undefined && setTopic === undefined) return undefined;
  const read = topic === undefined ? none : tryTo(() => readConfig(body, topic, fields));
  const write = setTopic === undefined ? none : tryTo(() => writeConfig(body, setTopic, fields));
  const problems = [read, write].flatMap(({ problem }) => problem ?? []);
  // A command for something that is not understood could not be seen to have worked.
  const config = read.problem === undefined ? { ...read.config, ...write.config } : {};
  return {
    suffix: fields.suffix ?? "",
    type: fields.type,
    accessMode: write.config["setTopic"] === undefined ? "ReadOnly" : "ReadWrite",
    limits: fields.limits ?? {},
    config: Object.keys(config).length === 0 ? {} : { ...config, ...fields.more },
    ...(problems.length > 0 ? { problem: problems.join("; ") } : {}),
  };
}

function setTopicOf(body: JsonBody, { setTopic, setPayloads }: PartFields): string | undefined {
  const isSet = setTopic !== undefined && Object.keys(setPayloads ?? { any: "" }).length > 0;
  return isSet ? textIn(body, setTopic) : undefined;
}

interface Tried {
  readonly config: Config;
  readonly problem?: string;
}

const none: Tried = { config: {} };

function tryTo(make: () => Config): Tried {
  try {
    return { config: make() };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { config: {}, problem: error.message };
  }
}

function readConfig(body: JsonBody, topic: string, fields: PartFields): Config {
  const { template, name } = templateOf(body, fields);
  const translated = fields.payloads ? { ok: false as const } : translateTemplate(template);
  if (!translated.ok) {
    const problem = templateProblem(template, ["value", "value_json"]);
    if (problem !== undefined) throw unusable(name, template, problem);
  }
  const part = translated.ok
    ? partConfig(translated, fields.switched)
    : { template, ...(fields.switched ? payloadsOf(fields.switched) : {}) };
  const simple = template === "{{ value }}" && fields.payloads ? {} : part;
  return { topic, ...simple, ...(fields.payloads ? { payloads: fields.payloads } : {}) };
}

function templateOf(
  body: JsonBody,
  { template, templates = [] }: PartFields,
): { readonly template: string; readonly name: string } {
  const name = templates.find((field) => textIn(body, field) !== undefined);
  const own = name === undefined ? undefined : textIn(body, name);
  return { template: template ?? own ?? "{{ value }}", name: name ?? templates[0] ?? "template" };
}

function partConfig(
  { path, expression }: { readonly path: string | undefined; readonly expression: string },
  switched: Switched | undefined,
): Config {
  const ofPath = path === undefined ? {} : { path };
  if (!switched) return { ...ofPath, ...(expression === "value" ? {} : { expression }) };
  const [isOn, isOff] = [isPayload(expression, switched.on), isPayload(expression, switched.off)];
  if (isOn === undefined || isOff === undefined)
    return { ...ofPath, ...(expression === "value" ? {} : { expression }), ...payloadsOf(switched) };
  // Any other payload is rejected: the text is not of type boolean.
  return { ...ofPath, expression: `${isOn} ? true : ${isOff} ? false : "neither"` };
}

function payloadsOf({ on, off }: Switched): Config {
  return { onPayload: on, offPayload: off };
}

function isPayload(expression: string, payload: string): string | undefined {
  // Python writes True where JSON has true.
  if (/^(true|false)$/i.test(payload)) return `lower(${expression}) == "${payload.toLowerCase()}"`;
  const quoted = quoteText(payload);
  return quoted === undefined ? undefined : `${expression} == ${quoted}`;
}

function writeConfig(body: JsonBody, setTopic: string, fields: PartFields): Config {
  const { setTemplateField, setPayload, setSwitched, setPayloads } = fields;
  const announced = setTemplateField === undefined ? undefined : textIn(body, setTemplateField);
  const template = fields.setTemplate ?? announced;
  const base = { setTopic, ...(body["retain"] === true ? { setRetain: true } : {}) };
  const values = {
    ...(setSwitched ? { setOn: setSwitched[0], setOff: setSwitched[1] } : {}),
    ...(setPayloads ? { setPayloads } : {}),
  };
  if (template === undefined)
    return { ...base, ...values, ...(setPayload === undefined ? {} : { setPayload }) };
  const plain = plainCommand(template, fields);
  if (plain) return { ...base, ...plain };
  const whole = setPayload === undefined ? template : `{% set value = ${jinjaText(setPayload)} %}${template}`;
  const problem = templateProblem(whole, commandNames);
  if (problem !== undefined) throw unusable(setTemplateField ?? "command_template", template, problem);
  return { ...base, ...values, setTemplate: whole };
}

/** A template with nothing but `{{ value }}` in it, as payloads; undefined for every other one. */
function plainCommand(
  template: string,
  { setSwitched, setPayloads, setPayload }: PartFields,
): Config | undefined {
  if (/\{%|\{\{/.test(template.replaceAll(/\{\{\s*value\s*\}\}/g, ""))) return undefined;
  if (setSwitched) {
    const [setOn, setOff] = setSwitched.map((one) => template.replaceAll(/\{\{\s*value\s*\}\}/g, () => one));
    return { setOn, setOff };
  }
  return setPayloads || setPayload !== undefined ? undefined : { setPayload: template };
}

/** A text as a literal of a template. */
export function jinjaText(text: string): string {
  const escaped = text
    .replaceAll("\\", String.raw`\\`)
    .replaceAll('"', String.raw`\"`)
    .replaceAll("\n", String.raw`\n`)
    .replaceAll("\r", String.raw`\r`);
  return `"${escaped}"`;
}

function unusable(name: string, template: string, problem: string): SyntaxError {
  return new SyntaxError(`${name} ${JSON.stringify(template.slice(0, 100))} ${problem}`);
}

/** The payloads that switch an entity, and those that report it. */
export function switchedPayloads(body: JsonBody): {
  readonly set: readonly [string, string];
  readonly read: Switched;
} {
  const on = payloadIn(body, "payload_on", "ON");
  const off = payloadIn(body, "payload_off", "OFF");
  return {
    set: [on, off],
    read: { on: payloadIn(body, "state_on", on), off: payloadIn(body, "state_off", off) },
  };
}
