import {
  validateDevice,
  type Device,
  type DeviceModel,
  type DeviceProperty,
  type DeviceSpec,
  type KubeObject,
  type ModelProperty,
} from "#shared/kube";
import type { Found } from "./announcement.ts";
import { announcedAnnotation, changedSince, digestsOf, readDigests } from "./digests.ts";

/** On both objects: who found the device. */
const discoveredByLabel = "devices.kubeedge.io/discovered-by";
const apiVersion = "devices.kubeedge.io/v1beta1";
/** On both objects: the node that found the device; objects without it belong to a user. */
export const discoveredOnAnnotation = "devices.kubeedge.io/discovered-on";
/** Keys of `configData` and fields of a model's property that an announcement sets, and removes by leaving them out. */
const announcedKeys = new Set([
  "topic",
  "path",
  "expression",
  "template",
  "payloads",
  "onPayload",
  "offPayload",
  "offDelay",
  "setTopic",
  "setPayload",
  "setPayloads",
  "setTemplate",
  "setOn",
  "setOff",
]);
/** Keys of the protocol's `configData`, likewise. */
const announcedStateKeys = new Set([
  "stateTopic",
  "stateTemplate",
  "onlinePayload",
  "offlinePayload",
  "availability",
  "availabilityMode",
  "expireAfter",
]);
const announcedFields = new Set(["description", "type", "accessMode", "minimum", "maximum", "unit"]);

/** Both objects as they should be. */
export interface MergedDevice {
  readonly device: Device;
  readonly model: DeviceModel;
  /** Properties whose new description the desired value contradicts: neither object changes there. */
  readonly kept: readonly string[];
}

/**
 * What is announced replaces what was announced before; all else, and what did not change since then, stays: users may edit
 * the objects.
 */
export function mergeAnnouncement(
  found: Found,
  device: Device | undefined,
  model: DeviceModel | undefined,
): MergedDevice {
  const announced = readDigests(device);
  const fresh = { ...found, ...changedSince(found, announced) };
  const all = build(fresh, device, model, announced);
  const bad = new Set(
    validateDevice(all.device, all.model).map(({ field }) => propertyAt(all.device, field)),
  );
  const kept = fresh.properties.map(({ name }) => name).filter((name) => bad.has(name));
  if (kept.length === 0) return { ...all, kept };
  const without = <T extends { readonly name: string }>(list: readonly T[]): T[] =>
    list.filter(({ name }) => !kept.includes(name));
  const rest = { ...fresh, properties: without(fresh.properties), described: without(fresh.described) };
  return { ...build(rest, device, model, announced), kept };
}

function propertyAt(device: Device, field: string): string | undefined {
  const index = Number(/^spec\.properties\[(\d+)\]/.exec(field)?.[1]);
  return device.spec?.properties?.[index]?.name;
}

function build(
  found: Found,
  ...[device, model, announced]: [Device | undefined, DeviceModel | undefined, ReadonlyMap<string, string>]
): Omit<MergedDevice, "kept"> {
  const digests = JSON.stringify(Object.fromEntries([...announced, ...digestsOf(found)]));
  const annotations = { ...device?.metadata.annotations, [announcedAnnotation]: digests };
  return {
    device: { ...shell(found, "Device", annotations), spec: deviceSpec(found, device?.spec) },
    model: {
      ...shell(found, "DeviceModel", model?.metadata.annotations),
      spec: {
        protocol: "mqtt",
        ...model?.spec,
        properties: mergeByName(model?.spec?.properties ?? [], found.described, mergeDescription),
      },
    },
  };
}

function shell(
  { name, node }: Found,
  kind: string,
  annotations: Readonly<Record<string, string>> | undefined,
): KubeObject {
  const labels = { [discoveredByLabel]: "home-assistant" };
  const metadata = {
    name,
    namespace: "default",
    labels,
    annotations: { ...annotations, [discoveredOnAnnotation]: node },
  };
  return { apiVersion, kind, metadata };
}

function deviceSpec({ name, node, properties, protocol }: Found, before: Device["spec"]): DeviceSpec {
  const spec = before ?? { deviceModelRef: { name }, nodeName: node };
  const old = spec.protocol?.configData ?? {};
  const isAnnounced = Object.keys(protocol).length > 0;
  const configData = { ...(isAnnounced ? without(old, announcedStateKeys) : old), ...protocol };
  return {
    ...spec,
    properties: mergeByName(spec.properties ?? [], properties, mergeProperty),
    protocol: { protocolName: "mqtt", ...spec.protocol, configData },
  };
}

function mergeByName<T extends { name: string }>(
  before: readonly T[],
  found: readonly T[],
  mergeOne: (before: T, found: T) => T,
): T[] {
  const fresh = new Map(found.map((one) => [one.name, one]));
  const kept = before.map((one) => {
    const next = fresh.get(one.name);
    fresh.delete(one.name);
    return next ? mergeOne(one, next) : one;
  });
  return [...kept, ...fresh.values()];
}

function mergeProperty(before: DeviceProperty, found: DeviceProperty): DeviceProperty {
  const others = without(before.visitors?.configData ?? {}, announcedKeys);
  const configData = { ...others, ...found.visitors?.configData };
  return { ...before, visitors: { ...before.visitors, ...found.visitors, configData } };
}

function mergeDescription(before: ModelProperty, found: ModelProperty): ModelProperty {
  return { ...without({ ...before }, announcedFields), ...found };
}

function without(
  fields: Readonly<Record<string, unknown>>,
  names: ReadonlySet<string>,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !names.has(name)));
}
