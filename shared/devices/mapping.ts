import type { Device, DeviceModel, DeviceProperty, ModelProperty } from "#shared/kube";
import { ConfigReader, type ConfigLayer, type MappingProblem } from "./config-reader.ts";
import { filterProblem, pathProblem, payloadProblem, topicProblem } from "./config-rules.ts";
import type { Expression } from "./expression.ts";
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

export interface MappingOutcome {
  /** undefined for devices that are no plain MQTT devices */
  readonly mapping: DeviceMapping | undefined;
  readonly problems: readonly MappingProblem[];
}

/** How a device is read and told, and what of its description cannot be used. */
export function readMapping(device: Device, model: DeviceModel | undefined): MappingOutcome {
  const protocol = device.spec?.protocol;
  if (!isMqtt(protocol?.protocolName)) return { mapping: undefined, problems: [] };
  const reader = new ConfigReader(device.metadata);
  const common: ConfigLayer = {
    of: "Device",
    at: "spec.protocol.configData",
    config: protocol?.configData ?? {},
  };
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
  const reader = new ConfigReader({ name: "name", namespace: "namespace" });
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

interface Described {
  readonly name: string;
  readonly described: ModelProperty | undefined;
  /** The device's own comes first. */
  readonly layers: readonly ConfigLayer[];
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

function deviceLayer({ visitors }: DeviceProperty, index: number): ConfigLayer {
  return layerOf("Device", index, visitors);
}

function modelLayer({ visitors }: ModelProperty, index: number, model: DeviceModel | undefined): ConfigLayer {
  return layerOf("DeviceModel", index, { protocolName: model?.spec?.protocol, ...visitors });
}

function layerOf(
  of: ConfigLayer["of"],
  index: number,
  visitors:
    { readonly protocolName?: string | undefined; readonly configData?: ConfigLayer["config"] } | undefined,
): ConfigLayer {
  const { protocolName, configData = {} } = visitors ?? {};
  const foreign = protocolName !== undefined && !isMqtt(protocolName);
  return { of, foreign, at: `spec.properties[${index}].visitors.configData`, config: configData };
}

function readProperty(
  reader: ConfigReader,
  property: Described,
  common: ConfigLayer | undefined,
): PropertyMapping {
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

function readSet(reader: ConfigReader, layers: readonly ConfigLayer[]): SetMapping | undefined {
  const before = reader.problems.length;
  const topic = reader.text(layers, "setTopic", topicProblem);
  const payload = reader.text(layers, "setPayload", payloadProblem);
  const on = reader.text(layers, "setOn");
  const off = reader.text(layers, "setOff");
  const retain = reader.flag(layers, "setRetain");
  if (topic === undefined || reader.problems.length > before) return undefined;
  return { topic, payload: payload ?? "{{value}}", retain: retain ?? true, on, off };
}

function readState(reader: ConfigReader, layers: readonly ConfigLayer[]): StateMapping | undefined {
  const before = reader.problems.length;
  const topic = reader.text(layers, "stateTopic", filterProblem);
  const online = reader.text(layers, "onlinePayload") ?? "online";
  const offline = reader.text(layers, "offlinePayload") ?? "offline";
  if (topic === undefined || reader.problems.length > before) return undefined;
  return { topic, online, offline };
}
