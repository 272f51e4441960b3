import { sanitizeDevice } from "#shared/devices";
import type { Device, DeviceProperty, ModelProperty } from "#shared/kube";
import type { DiscoveredDevice } from "#shared/topics";

/** A device a node found, as its announcements describe it; not all of them need have come yet. */
export interface Found {
  readonly name: string;
  readonly node: string;
  readonly properties: readonly DeviceProperty[];
  readonly described: readonly ModelProperty[];
  /** of the device's own state */
  readonly protocol: Readonly<Record<string, unknown>>;
}

/** What a node offers; undefined when it is not what a node may make: a device of its own, in namespace default. */
export function readDiscovered({ node, device, model }: DiscoveredDevice): Found | undefined {
  const name = nameOf(device);
  if (name === undefined) return undefined;
  const [spec, described] = [sanitizeDevice(device).spec, sanitizeDevice(model).spec];
  if (!spec || !described) return undefined;
  return {
    name,
    node,
    properties: (spec.properties ?? []).map(withoutWishes),
    described: described.properties ?? [],
    protocol: spec.protocol?.configData ?? {},
  };
}

function nameOf({ metadata }: Device): string | undefined {
  const name: unknown = metadata.name;
  return typeof name === "string" && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name) ? name : undefined;
}

function withoutWishes({ name, visitors }: DeviceProperty): DeviceProperty {
  return { name, ...(visitors ? { visitors } : {}) };
}
