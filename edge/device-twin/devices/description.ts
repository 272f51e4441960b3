import { isDeleted, sorted, toWire, type WireTwin } from "#edge/device-twin/twins";
import type { DeviceAttribute, BoundDevice } from "./device.ts";

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

export function liveTwins(device: BoundDevice): Record<string, WireTwin> {
  const live = sorted(device.twins).filter(([, twin]) => !isDeleted(twin));
  return Object.fromEntries(live.map(([name, twin]) => [name, toWire(twin)]));
}

/** The live twins, and an empty one for each property its Device lists: programs written for KubeEdge rely on them. */
export function shownTwins(device: BoundDevice): Record<string, WireTwin> {
  const live = liveTwins(device);
  const rest = (device.own?.listed ?? []).filter(({ name }) => !Object.hasOwn(live, name));
  if (rest.length === 0) return live;
  const empty = rest.map(({ name }): [string, WireTwin] => [
    name,
    { optional: true, metadata: { type: device.own?.types.get(name) ?? "string" } },
  ]);
  return Object.fromEntries(sorted([...Object.entries(live), ...empty]));
}
