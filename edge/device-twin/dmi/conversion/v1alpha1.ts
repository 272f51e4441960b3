import type { AnyValues } from "#shared/dmi";
import { isRecord, recordOf } from "#shared/json";
import type { Device, DeviceModel, DeviceProperty, ModelProperty } from "#shared/kube";
import { effectiveDevice } from "./effective.ts";
import type { Conversion, DeviceOfModel } from "./messages.ts";

/** Protocols with messages of their own; any other is customized. */
const known: ReadonlySet<string> = new Set(["opcua", "modbus", "bluetooth"]);
/** Of the settings that all of them share, `ProtocolConfigCommon`. */
const commonFields = [
  "commType",
  "reconnTimeout",
  "reconnRetryTimes",
  "collectTimeout",
  "collectRetryTimes",
  "collectType",
];
const comFields = ["serialPort", "baudRate", "dataBits", "parity", "stopBits"];
const tcpFields = ["ip", "port"];
const ownFields: Readonly<Record<string, readonly string[]>> = {
  modbus: ["slaveID"],
  bluetooth: ["macAddress"],
  opcua: [
    "url",
    "userName",
    "password",
    "securityPolicy",
    "securityMode",
    "certificate",
    "privateKey",
    "timeout",
  ],
};

type Data = Readonly<Record<string, unknown>>;

/** Messages of v1alpha1: the Devices of v1alpha2, of which settings have the places they had there. */
export class AlphaMessages implements Conversion {
  readonly #anyValues: AnyValues;

  constructor(anyValues: AnyValues) {
    this.#anyValues = anyValues;
  }

  device(given: DeviceOfModel): object {
    const { metadata, spec = {} }: Device = effectiveDevice(given);
    const protocol = spec.protocol?.protocolName ?? "";
    const properties = spec.properties ?? [];
    return {
      name: metadata.name,
      spec: {
        deviceModelReference: spec.deviceModelRef?.name ?? "",
        protocol: this.#protocol(protocol, spec.protocol?.configData ?? {}),
        propertyVisitors: properties.map((property) => this.#visitor(protocol, property)),
      },
      status: { twins: twinsOf(properties, given.model) },
    };
  }

  model({ metadata, spec }: DeviceModel): object {
    const properties = (spec?.properties ?? []).map(modelProperty);
    return { name: metadata.name, spec: { properties, protocol: spec?.protocol ?? "" } };
  }

  #protocol(name: string, data: Data): object {
    const own = ownFields[name] ?? [];
    if (!known.has(name)) {
      const customized = { protocolName: name, configData: this.#customized(data) };
      return { customizedProtocol: customized, common: this.#common(data, Object.keys(data)) };
    }
    return { [name]: picked(data, own), common: this.#common(data, own) };
  }

  /** @param taken settings that have their place already */
  #common(data: Data, taken: readonly string[]): object {
    const com = { ...picked(data, comFields), ...recordOf(data["com"]) };
    const tcp = { ...picked(data, tcpFields), ...recordOf(data["tcp"]) };
    const placed = new Set([...taken, ...commonFields, ...comFields, ...tcpFields, "com", "tcp"]);
    const rest = Object.entries(data).filter(([key]) => !placed.has(key) && key !== "customizedValues");
    const customized = { ...Object.fromEntries(rest), ...recordOf(data["customizedValues"]) };
    return {
      ...picked(data, commonFields),
      ...(Object.keys(com).length > 0 && { com }),
      ...(Object.keys(tcp).length > 0 && { tcp }),
      ...(Object.keys(customized).length > 0 && { customizedValues: this.#customized(customized) }),
    };
  }

  #visitor(protocol: string, { name, visitors, reportCycle, collectCycle }: DeviceProperty): object {
    const { protocolName = protocol, configData = {} } = visitors ?? {};
    const config = known.has(protocolName)
      ? { [protocolName]: visitorConfig(configData) }
      : { customizedProtocol: { protocolName, configData: this.#customized(configData) } };
    return { propertyName: name, reportCycle, collectCycle, ...config };
  }

  #customized(data: Data): object {
    return { data: this.#anyValues.encodeAll(data) };
  }
}

function twinsOf(properties: readonly DeviceProperty[], model: DeviceModel | undefined): object[] {
  const types = new Map((model?.spec?.properties ?? []).map(({ name, type }) => [name, type?.toLowerCase()]));
  return properties.map(({ name, desired }) => {
    const type = types.get(name);
    const metadata = { ...(type && { type }), ...desired?.metadata };
    return { propertyName: name, desired: { value: desired?.value ?? "", metadata }, reported: {} };
  });
}

/** Go's JSON has bytes in base64. */
function visitorConfig(data: Data): Data {
  const { dataWrite } = data;
  if (!isRecord(dataWrite)) return data;
  const bytes = Object.entries(dataWrite).map(
    ([name, text]) => [name, Buffer.from(String(text), "base64")] as const,
  );
  return { ...data, dataWrite: Object.fromEntries(bytes) };
}

function modelProperty({ name, description, type = "STRING", ...rest }: ModelProperty): object {
  const { accessMode = "ReadWrite", minimum, maximum, unit } = rest;
  const limits = { accessMode, minimum: Number(minimum ?? 0), maximum: Number(maximum ?? 0), unit };
  return { name, description, type: { [type.toLowerCase()]: limits } };
}

function picked(data: Data, fields: readonly string[]): Data {
  return Object.fromEntries(fields.filter((name) => name in data).map((name) => [name, data[name]]));
}
