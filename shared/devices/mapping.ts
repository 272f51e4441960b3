import type { Device, DeviceModel } from "#shared/kube";
import {
  ConfigReader,
  describeProperties,
  modelLayer,
  protocolLayer,
  type ConfigLayer,
  type DescribedProperty,
  type MappingProblem,
} from "#shared/devices/config";
import { readSet, setKeys, type SetMapping } from "./set-mapping.ts";
import { readSources, sourceKeys, type SourceMapping } from "./source-mapping.ts";
import { readStates, stateKeys, type StateMapping } from "./state-mapping.ts";
import { twinTypeOf } from "./twin-type.ts";

/**
 * How a plain MQTT device, one that knows nothing of twins, is read and commanded: `protocol.protocolName` is "mqtt"
 * and the properties have `visitors.configData` (of the device, else of its model):
 *
 * - `topic`: filter of the topics with the value, wildcards allowed (else `protocol.configData.topic`)
 * - `path`: which part of a JSON payload (`$.sensors[0].temp`); without it the payload itself is the value
 * - `expression`: computes the property from `value`; see `parseExpression`
 * - `template`: a template of Home Assistant in place of path and expression; see `compileTemplate`
 * - `when`: an expression; messages for which it is not true are not of this property
 * - `binary`, `offset`, `byteOrder`, `wordOrder`, `length`, `bit`: a field of a binary payload; see `BinaryField`
 * - `unit`, `decimalSeparator`: how numbers are written in texts; see `NumberFormat`
 * - `onPayload`, `offPayload`: what means true and false
 * - `payloads`: an object of values by payload; other payloads are rejected
 * - `sources`: a list of objects with the fields above, for a property that arrives in several ways
 * - `offDelay`: after this time without a value, true becomes false
 * - `setTopic`, `setPayload`, `setRetain`: how a desired value is published; `{{value}}` stands for it
 * - `setOn`, `setOff`: the payloads published for the desired values true and false
 * - `setPayloads`: an object of payloads by desired value; other values are not sent
 * - `setTemplate`: makes the payload in place of `setPayload`
 *
 * `protocol.configData` may also have `stateTopic`, `stateTemplate`, `onlinePayload` and `offlinePayload`, or
 * `availability`, a list of these, and `expireAfter`, the time after which a silent device is `unknown`. `{name}` and
 * `{namespace}` in topics stand for those of the Device. A field that cannot be used is left out and listed in the
 * problems.
 */
export interface DeviceMapping {
  /** Topic filters of all properties and of the state, each once. */
  readonly filters: readonly string[];
  readonly properties: readonly PropertyMapping[];
  readonly state: StateMapping | undefined;
  /** After this time without a message the state is unknown; undefined: it never is. */
  readonly expireAfterMs: number | undefined;
}

export interface PropertyMapping {
  readonly name: string;
  /** of the twin: string, int, float, boolean */
  readonly type: string;
  /** Where the value is read; empty for a property that is only commanded. */
  readonly sources: readonly SourceMapping[];
  readonly set: SetMapping | undefined;
  /** After this time true becomes false. */
  readonly offDelayMs: number | undefined;
}

export interface MappingOutcome {
  /** undefined for a device that is not a plain MQTT device */
  readonly mapping: DeviceMapping | undefined;
  readonly problems: readonly MappingProblem[];
}

/** Reads the mapping of a device and finds the fields that cannot be used. */
export function readMapping(device: Device, model: DeviceModel | undefined): MappingOutcome {
  if (!isMqtt(device.spec?.protocol?.protocolName)) return { mapping: undefined, problems: [] };
  const reader = new ConfigReader(device.metadata);
  const common = protocolLayer(device);
  const described = describeProperties(device, model, isMqtt);
  const properties = described
    .map((property) => readProperty(reader, property, common))
    .filter(({ sources, set }) => sources.length > 0 || set !== undefined);
  const state = readStates(reader, [common]);
  const expireAfterMs = reader.duration([common], "expireAfter");
  reader.misspelled(common, protocolKeys);
  for (const layer of described.flatMap(({ layers }) => layers)) reader.misspelled(layer, propertyKeys);
  const { problems } = reader;
  if (properties.length === 0 && !state) return { mapping: undefined, problems };
  const all = [...properties.flatMap(({ sources }) => sources), ...(state?.sources ?? [])];
  const filters = [...new Set(all.map(({ topic }) => topic))];
  return { mapping: { filters, properties, state, expireAfterMs }, problems };
}

/** Fields for MQTT devices in a DeviceModel that cannot be used by any device of that model. */
export function modelPropertyProblems(model: DeviceModel): readonly MappingProblem[] {
  const reader = new ConfigReader({ name: "name", namespace: "namespace" });
  for (const [index, described] of (model.spec?.properties ?? []).entries()) {
    if (!isMqtt(described.visitors?.protocolName ?? model.spec?.protocol)) continue;
    const { name } = described;
    const layer = modelLayer(described, index, { model, isOwn: isMqtt });
    readProperty(reader, { name, described, layers: [layer] }, undefined);
    reader.misspelled(layer, propertyKeys);
  }
  return reader.problems;
}

function isMqtt(protocol: string | undefined): boolean {
  return protocol?.toLowerCase() === "mqtt";
}

function readProperty(
  reader: ConfigReader,
  property: DescribedProperty,
  common: ConfigLayer | undefined,
): PropertyMapping {
  const { name, described, layers } = property;
  const type = twinTypeOf(described) ?? "string";
  const isBytes = described?.type === "BYTES";
  return {
    name,
    type,
    sources: readSources(reader, layers, { common, isBytes, unit: described?.unit }),
    set: readSet(reader, layers, { type, isBytes }),
    offDelayMs: reader.duration(layers, "offDelay"),
  };
}

const propertyKeys = [...sourceKeys, "sources", "offDelay", ...setKeys];
const protocolKeys = ["topic", "expireAfter", ...stateKeys];
