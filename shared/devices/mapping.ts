import type { Device, DeviceModel, DeviceProperty, ModelProperty } from "#shared/kube";
import { ConfigReader, type ConfigLayer, type MappingProblem } from "./config-reader.ts";
import { filterProblem, pathProblem, payloadProblem, topicProblem } from "./config-rules.ts";
import type { Expression } from "./expression.ts";
import { twinTypeOf } from "./twin-type.ts";

/**
 * How a plain MQTT device, one that knows nothing of twins, is read and commanded: `protocol.protocolName` is "mqtt"
 * and the properties have `visitors.configData` (of the device, else of its model):
 *
 * - `topic`: filter of the topics with the value, wildcards allowed (else `protocol.configData.topic`)
 * - `path`: which part of a JSON payload (`$.sensors[0].temp`); without it the payload itself is the value
 * - `expression`: computes the property from `value`; see `parseExpression`
 * - `setTopic`, `setPayload`, `setRetain`: how a desired value is published; `{{value}}` stands for it
 * - `setOn`, `setOff`: the payloads published for the desired values true and false
 *
 * `protocol.configData` may also have `stateTopic`, `onlinePayload` and `offlinePayload`. `{name}` and `{namespace}` in
 * topics stand for those of the Device. A field that cannot be used is left out and listed in the problems.
 */
export interface DeviceMapping {
  /** Topic filters of all properties and of the state, each once. */
  readonly filters: readonly string[];
  readonly properties: readonly PropertyMapping[];
  readonly state: StateMapping | undefined;
}

export interface PropertyMapping {
  readonly name: string;
  /** of the twin: string, int, float, boolean */
  readonly type: string;
  /** Filter of the topics with the value; undefined for a property that is only commanded. */
  readonly topic: string | undefined;
  readonly path: string | undefined;
  readonly expression: Expression | undefined;
  readonly set: SetMapping | undefined;
}

/** How a desired value is published. */
export interface SetMapping {
  readonly topic: string;
  readonly payload: string;
  readonly retain: boolean;
  /** Payloads for true and false; undefined: as `payload`. */
  readonly on: string | undefined;
  readonly off: string | undefined;
}

/** The topic on which a device, or its broker by a will, reports that it is online, and the payloads used there. */
export interface StateMapping {
  readonly topic: string;
  readonly online: string;
  readonly offline: string;
}

export interface MappingOutcome {
  /** undefined for a device that is not a plain MQTT device */
  readonly mapping: DeviceMapping | undefined;
  readonly problems: readonly MappingProblem[];
}

/** Reads the mapping of a device and finds the fields that cannot be used. */
export function readMapping(device: Device, model: DeviceModel | undefined): MappingOutcome {
  const protocol = device.spec?.protocol;
  if (!isMqtt(protocol?.protocolName)) return { mapping: undefined, problems: [] };
  const reader = new ConfigReader(device.metadata);
  const common: ConfigLayer = {
    kind: "Device",
    path: "spec.protocol.configData",
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

/** Fields for MQTT devices in a DeviceModel that cannot be used by any device of that model. */
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
  /** The Device before its model: the first that has a field wins. */
  readonly layers: readonly ConfigLayer[];
}

/** The properties of the device and those only its model has. */
function propertiesOf(device: Device, model: DeviceModel | undefined): Described[] {
  const described = new Map(
    model?.spec?.properties?.map((property, index) => [property.name, { property, index }]),
  );
  const listed = (device.spec?.properties ?? []).map((property, index): Described => {
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
  return [...listed, ...rest];
}

function deviceLayer({ visitors }: DeviceProperty, index: number): ConfigLayer {
  return layerOf("Device", index, visitors);
}

function modelLayer({ visitors }: ModelProperty, index: number, model: DeviceModel | undefined): ConfigLayer {
  return layerOf("DeviceModel", index, { protocolName: model?.spec?.protocol, ...visitors });
}

function layerOf(
  kind: ConfigLayer["kind"],
  index: number,
  visitors:
    { readonly protocolName?: string | undefined; readonly configData?: ConfigLayer["config"] } | undefined,
): ConfigLayer {
  const { protocolName, configData = {} } = visitors ?? {};
  const foreign = protocolName !== undefined && !isMqtt(protocolName);
  return { kind, foreign, path: `spec.properties[${index}].visitors.configData`, config: configData };
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
  const ownTopic = reader.text(layers, "topic", filterProblem);
  const isUnusable = reader.problems.length > before;
  // The topic of the device carries several values: without a path or an expression none of them is meant.
  const isPart = path !== undefined || expression !== undefined;
  const commonTopic =
    ownTopic === undefined && isPart && common ? reader.text([common], "topic", filterProblem) : undefined;
  return {
    name,
    type: twinTypeOf(described) ?? "string",
    topic: isUnusable ? undefined : (ownTopic ?? commonTopic),
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
