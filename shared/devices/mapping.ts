import type { Device, DeviceModel, DeviceProperty, ModelProperty } from "#shared/kube";
import { nearest } from "#shared/errors";
import { isTopicFilter } from "#shared/mqtt";
import { isPath, parseExpression, type Expression } from "./expression.ts";
import { twinTypeOf } from "./twin-type.ts";

/**
 * How a plain MQTT device is read and told: `protocol.protocolName` is "mqtt" and the properties carry
 * `visitors.configData` (of the device, else of its model):
 *
 * - `topic`: where the value comes, wildcards allowed (else `protocol.configData.topic`)
 * - `path`: which part of a JSON payload (`$.sensors[0].temp`); without it the payload itself is the value
 * - `expression`: a last calculation on `value`
 * - `setTopic`, `setPayload`, `setRetain`: where and how a desired value is told; `{{value}}` stands for it
 * - `setOn`, `setOff`: the payloads for the desired values true and false
 *
 * `protocol.configData` may also have `stateTopic`, `onlinePayload` and `offlinePayload`. `{name}` and `{namespace}`
 * in topics stand for those of the Device. What makes no sense is named in `problems` and left out; the rest works.
 */
export interface DeviceMapping {
  readonly filters: readonly string[];
  readonly properties: readonly PropertyMapping[];
  readonly state: StateMapping | undefined;
}

export interface PropertyMapping {
  readonly name: string;
  /** of the twin: string, int, float, boolean */
  readonly type: string;
  readonly topic: string | undefined;
  readonly path: string | undefined;
  readonly expression: Expression | undefined;
  readonly set: SetMapping | undefined;
}

export interface SetMapping {
  readonly topic: string;
  readonly payload: string;
  readonly retain: boolean;
  readonly on: string | undefined;
  readonly off: string | undefined;
}

export interface StateMapping {
  readonly topic: string;
  readonly online: string;
  readonly offline: string;
}

/** One field that cannot be used. */
export interface MappingProblem {
  /** The object the field is in. */
  readonly of: "Device" | "DeviceModel";
  /** e.g. `spec.properties[0].visitors.configData.topic` */
  readonly field: string;
  readonly value: unknown;
  /** What is wrong and what is expected. */
  readonly problem: string;
}

export interface MappingOutcome {
  /** undefined for devices that are no plain MQTT devices */
  readonly mapping: DeviceMapping | undefined;
  readonly problems: readonly MappingProblem[];
}

/** How a device is read and told, and what of its description cannot be used. */
export function readMapping(device: Device, model: DeviceModel | undefined): MappingOutcome {
  const protocol = device.spec?.protocol;
  if (!isMqtt(protocol?.protocolName)) return { mapping: undefined, problems: [] };
  const reader = new Reader(device.metadata);
  const common: Layer = { of: "Device", at: "spec.protocol.configData", config: protocol?.configData ?? {} };
  const described = propertiesOf(device, model);
  const properties = described
    .map((property) => readProperty(reader, property, common))
    .filter((property) => property.topic !== undefined || property.set !== undefined);
  const state = readState(reader, [common]);
  reader.misspelled(common, protocolKeys);
  for (const layer of described.flatMap(({ layers }) => layers)) reader.misspelled(layer, propertyKeys);
  const { problems } = reader;
  if (properties.length === 0 && !state) return { mapping: undefined, problems };
  const topics = [...properties.map(({ topic }) => topic), state?.topic].filter(
    (topic) => topic !== undefined,
  );
  return { mapping: { filters: [...new Set(topics)], properties, state }, problems };
}

/** What of a model's own descriptions for MQTT devices cannot be used. */
export function modelPropertyProblems(model: DeviceModel): readonly MappingProblem[] {
  const reader = new Reader({ name: "name", namespace: "namespace" });
  for (const [index, described] of (model.spec?.properties ?? []).entries()) {
    if (!isMqtt(described.visitors?.protocolName ?? model.spec?.protocol)) continue;
    const { name } = described;
    const layer = modelLayer(described, index, model);
    readProperty(reader, { name, described, layers: [layer] }, undefined);
    reader.misspelled(layer, propertyKeys);
  }
  return reader.problems;
}

function isMqtt(protocol: string | undefined): boolean {
  return protocol?.toLowerCase() === "mqtt";
}

/** One of the places where a field may stand. */
interface Layer {
  /** Whether it is for another program: then it may have any key. */
  readonly foreign?: boolean;
  readonly of: MappingProblem["of"];
  readonly at: string;
  readonly config: Readonly<Record<string, unknown>>;
}

interface Described {
  readonly name: string;
  readonly described: ModelProperty | undefined;
  /** The device's own comes first. */
  readonly layers: readonly Layer[];
}

/** The properties of the device and those only its model has. */
function propertiesOf(device: Device, model: DeviceModel | undefined): Described[] {
  const described = new Map(
    model?.spec?.properties?.map((property, index) => [property.name, { property, index }]),
  );
  const own = (device.spec?.properties ?? []).map((property, index): Described => {
    const found = described.get(property.name);
    described.delete(property.name);
    const layers = [
      deviceLayer(property, index),
      ...(found ? [modelLayer(found.property, found.index, model)] : []),
    ];
    return { name: property.name, described: found?.property, layers };
  });
  const rest = [...described.values()].map(({ property, index }): Described => ({
    name: property.name,
    described: property,
    layers: [modelLayer(property, index, model)],
  }));
  return [...own, ...rest];
}

function deviceLayer({ visitors }: DeviceProperty, index: number): Layer {
  return layerOf("Device", index, visitors);
}

function modelLayer({ visitors }: ModelProperty, index: number, model: DeviceModel | undefined): Layer {
  return layerOf("DeviceModel", index, { protocolName: model?.spec?.protocol, ...visitors });
}

function layerOf(
  of: Layer["of"],
  index: number,
  visitors: { readonly protocolName?: string | undefined; readonly configData?: Layer["config"] } | undefined,
): Layer {
  const { protocolName, configData = {} } = visitors ?? {};
  const foreign = protocolName !== undefined && !isMqtt(protocolName);
  return { of, foreign, at: `spec.properties[${index}].visitors.configData`, config: configData };
}

function readProperty(reader: Reader, property: Described, common: Layer | undefined): PropertyMapping {
  const { name, described, layers } = property;
  const before = reader.problems.length;
  const path = reader.text(layers, "path", pathProblem);
  const expression = reader.expression(layers);
  const own = reader.text(layers, "topic", filterProblem);
  const said = reader.problems.length > before;
  const partial = path !== undefined || expression !== undefined;
  const shared =
    own === undefined && partial && common ? reader.text([common], "topic", filterProblem) : undefined;
  return {
    name,
    type: twinTypeOf(described) ?? "string",
    topic: said ? undefined : (own ?? shared),
    path,
    expression,
    set: readSet(reader, layers),
  };
}

const propertyKeys = [
  "topic",
  "path",
  "expression",
  "setTopic",
  "setPayload",
  "setRetain",
  "setOn",
  "setOff",
];
const protocolKeys = ["topic", "stateTopic", "onlinePayload", "offlinePayload"];

function readSet(reader: Reader, layers: readonly Layer[]): SetMapping | undefined {
  const before = reader.problems.length;
  const topic = reader.text(layers, "setTopic", topicProblem);
  const payload = reader.text(layers, "setPayload", payloadProblem);
  const on = reader.text(layers, "setOn");
  const off = reader.text(layers, "setOff");
  const retain = reader.flag(layers, "setRetain");
  if (topic === undefined || reader.problems.length > before) return undefined;
  return { topic, payload: payload ?? "{{value}}", retain: retain ?? true, on, off };
}

function readState(reader: Reader, layers: readonly Layer[]): StateMapping | undefined {
  const before = reader.problems.length;
  const topic = reader.text(layers, "stateTopic", filterProblem);
  const online = reader.text(layers, "onlinePayload") ?? "online";
  const offline = reader.text(layers, "offlinePayload") ?? "offline";
  if (topic === undefined || reader.problems.length > before) return undefined;
  return { topic, online, offline };
}

/** Says what is wrong with a text, if anything. */
type Judge = (text: string) => string | undefined;

/** Reads fields from the first layer that has them and collects what is wrong. */
class Reader {
  readonly problems: MappingProblem[] = [];
  readonly #name: string;
  readonly #namespace: string;

  constructor(names: { readonly name?: string; readonly namespace?: string }) {
    this.#name = names.name ?? "";
    this.#namespace = names.namespace ?? "";
  }

  /** Texts that name topics have the device's names filled in. */
  text(layers: readonly Layer[], name: string, judge: Judge = () => undefined): string | undefined {
    const found = find(layers, name);
    if (!found || found.value === "") return undefined;
    if (typeof found.value !== "string") return this.#complain(found, "must be a text");
    const text = name.toLowerCase().endsWith("topic") ? this.#fill(found.value) : found.value;
    const problem = judge(text);
    return problem === undefined ? text : this.#complain(found, problem);
  }

  expression(layers: readonly Layer[]): Expression | undefined {
    const found = find(layers, "expression");
    const text = this.text(layers, "expression");
    if (!found || text === undefined) return undefined;
    try {
      return parseExpression(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return this.#complain(found, `must be an expression: ${error.message.replace("expression: ", "")}`);
    }
  }

  /** A key like one of ours is one of ours misspelled; others are for mappers, which have keys of their own. */
  misspelled({ of, at, config, foreign }: Layer, known: readonly string[]): void {
    if (foreign === true) return;
    for (const key of Object.keys(config)) {
      const meant = known.includes(key) ? undefined : nearest(key, known);
      if (meant === undefined) continue;
      const found = { of, field: `${at}.${key}`, value: config[key] ?? null };
      this.#complain(found, `unknown key, did you mean ${JSON.stringify(meant)}?`);
    }
  }

  flag(layers: readonly Layer[], name: string): boolean | undefined {
    const found = find(layers, name);
    if (!found || found.value === "") return undefined;
    if (found.value === true || found.value === "true") return true;
    if (found.value === false || found.value === "false") return false;
    return this.#complain(found, "must be true or false");
  }

  #fill(topic: string): string {
    return topic.replaceAll("{name}", this.#name).replaceAll("{namespace}", this.#namespace);
  }

  #complain({ of, field, value }: Omit<MappingProblem, "problem">, problem: string): undefined {
    if (!this.problems.some((known) => known.of === of && known.field === field))
      this.problems.push({ of, field, value, problem });
  }
}

function find(layers: readonly Layer[], name: string): Omit<MappingProblem, "problem"> | undefined {
  const layer = layers.find(({ config }) => Object.hasOwn(config, name));
  const value = layer?.config[name] ?? undefined;
  return layer && value !== undefined ? { of: layer.of, field: `${layer.at}.${name}`, value } : undefined;
}

/** What is still in braces after the names of the device were filled in. */
function placeholderProblem(topic: string): string | undefined {
  const [all, word = ""] = /\{(\w*)\}/.exec(topic) ?? [];
  if (all === undefined) return undefined;
  const hint = nearest(word, ["name", "namespace"]);
  return `has the unknown placeholder ${all}, ${hint === undefined ? "expected {name} or {namespace}" : `did you mean {${hint}}?`}`;
}

function payloadProblem(text: string): string | undefined {
  for (const [all, word = ""] of text.matchAll(/\{\{\s*([A-Za-z_][^{}"]*?)\s*\}\}/g)) {
    if (word === "value" || word === "name") continue;
    const hint = nearest(word, ["value", "name"]);
    return `has the unknown placeholder ${all}, ${hint === undefined ? "expected {{value}} or {{name}}" : `did you mean {{${hint}}}?`}`;
  }
  return undefined;
}

function filterProblem(text: string): string | undefined {
  if (text.startsWith("$")) return "must not start with $: such topics are not for devices";
  return isTopicFilter(text)
    ? placeholderProblem(text)
    : "must be an MQTT topic filter: + stands for one whole level, # for all that follow";
}

function topicProblem(text: string): string | undefined {
  if (text.startsWith("$")) return "must not start with $: such topics are not for devices";
  return isTopicFilter(text) && !/[+#]/.test(text)
    ? placeholderProblem(text)
    : "must be an MQTT topic without wildcards";
}

function pathProblem(text: string): string | undefined {
  return isPath(text) ? undefined : "must be a path such as $.sensors[0].temp or $['odd name']";
}
