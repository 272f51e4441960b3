import { isTopicFilter, topicMatches } from "#shared/message";
import type { Device, DeviceModel, DeviceProperty, ModelProperty } from "#shared/kube";
import { parseExpression, plain, readPath, type Expression } from "./expression.ts";
import { isFields, parseJson, type Fields } from "./requests.ts";
import { fitsType } from "./update.ts";

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
 * in topics stand for those of the Device.
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

interface SetMapping {
  readonly topic: string;
  readonly payload: string;
  readonly retain: boolean;
  readonly on: string | undefined;
  readonly off: string | undefined;
}

interface StateMapping {
  readonly topic: string;
  readonly online: string;
  readonly offline: string;
}

export interface Report {
  readonly values: readonly { readonly name: string; readonly value: string; readonly type: string }[];
  readonly state: string | undefined;
  /** Values the device sent that do not fit its model. */
  readonly misfits: readonly string[];
}

/**
 * @returns undefined for devices that are no plain MQTT devices
 * @throws Error naming the field when the description makes no sense
 */
export function readMapping(device: Device, model: DeviceModel | undefined): DeviceMapping | undefined {
  const protocol = device.spec?.protocol;
  if (protocol?.protocolName?.toLowerCase() !== "mqtt") return undefined;
  const names = { name: device.metadata.name ?? "", namespace: device.metadata.namespace ?? "" };
  const common = protocol.configData ?? {};
  const properties = propertiesOf(device, model)
    .map(([property, described]) => readProperty(property, described, { common, names }))
    .filter((property) => property.topic !== undefined || property.set !== undefined);
  const state = readState(common, names);
  if (properties.length === 0 && !state) return undefined;
  const topics = [...properties.map(({ topic }) => topic), state?.topic].filter(
    (topic) => topic !== undefined,
  );
  return { filters: [...new Set(topics)], properties, state };
}

/** What a message on `topic` says of a device. */
export function readReport(mapping: DeviceMapping, topic: string, payload: Uint8Array): Report {
  const text = Buffer.from(payload).toString("utf8");
  const document = lazy(() => parseJson(text) ?? parseScalar(text));
  const values: { name: string; value: string; type: string }[] = [];
  const misfits: string[] = [];
  for (const property of mapping.properties) {
    if (property.topic === undefined || !topicMatches(property.topic, topic)) continue;
    const value = readValue(property, text, document);
    if (value === undefined) continue;
    const good = value.length <= 512 && fitsType(value, property.type) === true;
    if (good) values.push({ name: property.name, value, type: property.type });
    else misfits.push(property.name);
  }
  return { values, state: stateOf(mapping.state, topic, text), misfits };
}

/** The payload that tells a plain device a desired value. */
export function setPayload(set: SetMapping, name: string, value: string): string {
  if (value === "true" && set.on !== undefined) return set.on;
  if (value === "false" && set.off !== undefined) return set.off;
  return set.payload.replaceAll(/\{\{\s*(value|name)\s*\}\}/g, (_, word: string) =>
    word === "value" ? value : name,
  );
}

const twinTypes: Readonly<Record<string, string>> = {
  INT: "int",
  FLOAT: "float",
  DOUBLE: "float",
  BOOLEAN: "boolean",
};

/** A property of the device or only of its model, with what the model says of it. */
function propertiesOf(
  device: Device,
  model: DeviceModel | undefined,
): [DeviceProperty, ModelProperty | undefined][] {
  const described = new Map(model?.spec?.properties?.map((property) => [property.name, property]));
  const own = device.spec?.properties ?? [];
  const listed = new Set(own.map(({ name }) => name));
  const rest = [...described.values()].filter(({ name }) => !listed.has(name));
  return [
    ...own.map((property): [DeviceProperty, ModelProperty | undefined] => [
      property,
      described.get(property.name),
    ]),
    ...rest.map((property): [DeviceProperty, ModelProperty | undefined] => [
      { name: property.name },
      property,
    ]),
  ];
}

interface Surroundings {
  readonly common: Fields;
  readonly names: { readonly name: string; readonly namespace: string };
}

function readProperty(
  property: DeviceProperty,
  described: ModelProperty | undefined,
  { common, names }: Surroundings,
): PropertyMapping {
  const config: Fields = { ...described?.visitors?.configData, ...property.visitors?.configData };
  const at = `property "${property.name}"`;
  const own = text(config, "topic", at);
  const path = text(config, "path", at);
  const formula = text(config, "expression", at);
  const shared = path !== undefined || formula !== undefined ? text(common, "topic", "protocol") : undefined;
  return {
    name: property.name,
    type: twinTypes[described?.type ?? "STRING"] ?? "string",
    topic: filter(own ?? shared, names, at),
    path,
    expression: formula === undefined ? undefined : parseExpression(formula),
    set: readSet(config, names, at),
  };
}

function readSet(config: Fields, names: Surroundings["names"], at: string): PropertyMapping["set"] {
  const topic = text(config, "setTopic", at);
  if (topic === undefined) return undefined;
  return {
    topic: plainTopic(fill(topic, names), at),
    payload: text(config, "setPayload", at) ?? "{{value}}",
    retain: config["setRetain"] !== false,
    on: text(config, "setOn", at),
    off: text(config, "setOff", at),
  };
}

function readState(common: Fields, names: Surroundings["names"]): StateMapping | undefined {
  const topic = filter(text(common, "stateTopic", "protocol"), names, "protocol");
  if (topic === undefined) return undefined;
  const online = text(common, "onlinePayload", "protocol") ?? "online";
  return { topic, online, offline: text(common, "offlinePayload", "protocol") ?? "offline" };
}

function text(config: Fields, name: string, at: string): string | undefined {
  const value = config[name] ?? undefined;
  if (value === undefined || value === "") return undefined;
  if (typeof value === "string") return value;
  throw new Error(`${at}: ${name}: expected a text, got ${JSON.stringify(value).slice(0, 100)}`);
}

function filter(topic: string | undefined, names: Surroundings["names"], at: string): string | undefined {
  if (topic === undefined) return undefined;
  const filled = fill(topic, names);
  if (!isTopicFilter(filled) || filled.startsWith("$"))
    throw new Error(`${at}: topic: ${JSON.stringify(filled)} is no topic filter for devices`);
  return filled;
}

function plainTopic(topic: string, at: string): string {
  if (isTopicFilter(topic) && !/[+#]/.test(topic) && !topic.startsWith("$")) return topic;
  throw new Error(`${at}: setTopic: ${JSON.stringify(topic)} is no topic`);
}

function fill(topic: string, names: Surroundings["names"]): string {
  return topic.replaceAll("{name}", names.name).replaceAll("{namespace}", names.namespace);
}

function readValue(property: PropertyMapping, text: string, document: () => unknown): string | undefined {
  const part = property.path === undefined ? scalar(text) : readPath(document(), property.path);
  if (part === undefined || part === null) return undefined;
  const value = property.expression ? property.expression(part) : part;
  if (typeof value === "number" && !Number.isFinite(value)) return undefined;
  return property.type === "boolean" ? booleanText(value) : plain(value);
}

function scalar(text: string): unknown {
  const value = parseScalar(text);
  return isFields(value) || Array.isArray(value) ? text : (value ?? text);
}

function parseScalar(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** Devices say true, on, 1, "ON", …; twins say true and false. */
function booleanText(value: unknown): string {
  const word = plain(value).toLowerCase();
  if (["true", "on", "1", "yes"].includes(word)) return "true";
  return ["false", "off", "0", "no"].includes(word) ? "false" : word;
}

function stateOf(state: StateMapping | undefined, topic: string, text: string): string | undefined {
  if (!state || !topicMatches(state.topic, topic)) return undefined;
  if (text === state.online) return "online";
  return text === state.offline ? "offline" : undefined;
}

function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
