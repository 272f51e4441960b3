import type { Device, DeviceModel } from "#shared/kube";

/**
 * The object with lists where lists belong: a cluster's API may hold what its CRD never checked, and nobody is to stumble
 * over it. What is no property is left out.
 */
export function sanitizeDevice<T extends Device | DeviceModel>(object: T): T {
  const spec: unknown = object.spec;
  if (!isFields(spec)) return { ...object, spec: undefined };
  const { properties, protocol, deviceModelRef, ...rest } = spec;
  const sound = {
    ...rest,
    ...(Array.isArray(properties) ? { properties: properties.filter(isProperty).map(soundProperty) } : {}),
    ...(typeof protocol === "string" ? { protocol } : {}),
    ...(isFields(protocol) ? { protocol: soundProtocol(protocol) } : {}),
    ...(isFields(deviceModelRef) ? { deviceModelRef } : {}),
  };
  return { ...object, spec: sound };
}

function soundProperty(property: Fields): Fields {
  const { visitors, desired, ...rest } = property;
  return {
    ...rest,
    ...(isFields(visitors) ? { visitors: soundProtocol(visitors) } : {}),
    ...(isFields(desired) ? { desired } : {}),
  };
}

function soundProtocol({ protocolName, configData, ...rest }: Fields): Fields {
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
