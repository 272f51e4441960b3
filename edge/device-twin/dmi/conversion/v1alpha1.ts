import { alphaProtocol, isKnownInAlpha, type AnyValues, type Settings } from "#shared/dmi";
import { isRecord } from "#shared/json";
import type { Device, DeviceModel, DeviceProperty, ModelProperty } from "#shared/kube";
import { effectiveDevice } from "./effective.ts";
import type { Conversion, DeviceOfModel } from "./messages.ts";

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

  #protocol(name: string, data: Settings): object {
    const { known, own, common, customized } = alphaProtocol(name, data);
    const shared = {
      ...common,
      ...(Object.keys(customized).length > 0 && { customizedValues: this.#customized(customized) }),
    };
    if (known !== undefined) return { [known]: own, common: shared };
    return { customizedProtocol: { protocolName: name, configData: this.#customized(own) }, common: shared };
  }

  #visitor(protocol: string, { name, visitors, reportCycle, collectCycle }: DeviceProperty): object {
    const { protocolName = protocol, configData = {} } = visitors ?? {};
    const config = isKnownInAlpha(protocolName)
      ? { [protocolName]: visitorConfig(configData) }
      : { customizedProtocol: { protocolName, configData: this.#customized(configData) } };
    return { propertyName: name, reportCycle, collectCycle, ...config };
  }

  #customized(data: Settings): object {
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
function visitorConfig(data: Settings): Settings {
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
