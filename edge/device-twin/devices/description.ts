import { isDeletedTwin, sorted, toWire, type WireTwin } from "#edge/device-twin/twins";
import type { DeviceAttribute, BoundDevice } from "./device.ts";

/** A device in lists of members, without twins; KubeEdge's `dttype.Device`. Empty fields are left out. */
export function describeDevice(device: BoundDevice): Record<string, unknown> {
  const { id, name, description, state, lastOnline } = device;
  return {
    ...(id ? { id } : {}),
    ...(name ? { name } : {}),
    ...(description ? { description } : {}),
    ...(state ? { state } : {}),
    ...(lastOnline ? { last_online: lastOnline } : {}),
    ...(device.attributes.size > 0 ? { attributes: wireAttributes(device.attributes) } : {}),
  };
}

/** Attributes by name, as messages have them. */
export function wireAttributes(
  attributes: Iterable<readonly [string, DeviceAttribute]>,
): Record<string, unknown> {
  return Object.fromEntries(
    sorted(attributes).map(([name, { value, optional, type }]) => [
      name,
      { value, optional, metadata: { type } },
    ]),
  );
}

/** Twins by name, as MQTT topics have them: without versions and deleted ones. */
export function liveTwins(device: BoundDevice): Record<string, WireTwin> {
  const live = sorted(device.twins).filter(([, twin]) => !isDeletedTwin(twin));
  return Object.fromEntries(live.map(([name, twin]) => [name, toWire(twin)]));
}

/** As `liveTwins`, with an empty twin for each property of the Device: programs written for KubeEdge rely on it. */
export function shownTwins(device: BoundDevice): Record<string, WireTwin> {
  const live = liveTwins(device);
  const rest = (device.listed?.deviceProperties ?? []).filter(({ name }) => !Object.hasOwn(live, name));
  if (rest.length === 0) return live;
  const empty = rest.map(({ name }): [string, WireTwin] => [
    name,
    { optional: true, metadata: { type: device.listed?.modelTypes.get(name) ?? "string" } },
  ]);
  return Object.fromEntries(sorted([...Object.entries(live), ...empty]));
}
