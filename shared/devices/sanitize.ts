import { isRecord } from "#shared/json";
import type { Device, DeviceModel } from "#shared/kube";

/**
 * A Device or DeviceModel without fields of a wrong type: the API of a cluster may hold objects that no schema has
 * checked. Entries of `properties` without a name are left out.
 */
export function sanitizeDevice<T extends Device | DeviceModel>(object: T): T {
  const spec: unknown = object.spec;
  if (!isRecord(spec)) return { ...object, spec: undefined };
  const { properties, protocol, deviceModelRef, ...rest } = spec;
  const sanitized = {
    ...rest,
    ...(Array.isArray(properties) ? { properties: properties.filter(isProperty).map(sanitizeProperty) } : {}),
    ...(typeof protocol === "string" ? { protocol } : {}),
    ...(isRecord(protocol) ? { protocol: sanitizeProtocol(protocol) } : {}),
    ...(isRecord(deviceModelRef) ? { deviceModelRef } : {}),
  };
  return { ...object, spec: sanitized };
}

function sanitizeProperty(property: Fields): Fields {
  const { visitors, desired, ...rest } = property;
  return {
    ...rest,
    ...(isRecord(visitors) ? { visitors: sanitizeProtocol(visitors) } : {}),
    ...(isRecord(desired) ? { desired } : {}),
  };
}

function sanitizeProtocol({ protocolName, configData, ...rest }: Fields): Fields {
  return {
    ...rest,
    ...(typeof protocolName === "string" ? { protocolName } : {}),
    ...(isRecord(configData) ? { configData } : {}),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function isProperty(value: unknown): value is Fields {
  return isRecord(value) && typeof value["name"] === "string";
}
