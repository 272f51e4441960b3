import type { Device, DeviceModel } from "#shared/kube";

/**
 * A Device or DeviceModel without fields of a wrong type: the API of a cluster may hold objects that no schema has
 * checked. Entries of `properties` without a name are left out.
 */
export function sanitizeDevice<T extends Device | DeviceModel>(object: T): T {
  const spec: unknown = object.spec;
  if (!isFields(spec)) return { ...object, spec: undefined };
  const { properties, protocol, deviceModelRef, ...rest } = spec;
  const sanitized = {
    ...rest,
    ...(Array.isArray(properties) ? { properties: properties.filter(isProperty).map(sanitizeProperty) } : {}),
    ...(typeof protocol === "string" ? { protocol } : {}),
    ...(isFields(protocol) ? { protocol: sanitizeProtocol(protocol) } : {}),
    ...(isFields(deviceModelRef) ? { deviceModelRef } : {}),
  };
  return { ...object, spec: sanitized };
}

function sanitizeProperty(property: Fields): Fields {
  const { visitors, desired, ...rest } = property;
  return {
    ...rest,
    ...(isFields(visitors) ? { visitors: sanitizeProtocol(visitors) } : {}),
    ...(isFields(desired) ? { desired } : {}),
  };
}

function sanitizeProtocol({ protocolName, configData, ...rest }: Fields): Fields {
  return {
    ...rest,
    ...(typeof protocolName === "string" ? { protocolName } : {}),
    ...(isFields(configData) ? { configData } : {}),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function isProperty(value: unknown): value is Fields {
  return isFields(value) && typeof value["name"] === "string";
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
