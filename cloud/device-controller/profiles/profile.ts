import { alphaProtocol, isKnownInAlpha } from "#shared/dmi";
import type { Device, DeviceModel, DeviceProperty, ModelProperty } from "#shared/kube";

/** A Device, and its model where there is one. */
export interface ProfiledDevice {
  readonly device: Device;
  readonly model: DeviceModel | undefined;
}

/**
 * deviceProfile.json as the device controller of KubeEdge 1.12 writes it (`types/deviceprofile.go`), of Devices by their names. A
 * Device without a model is left out, as there.
 */
export function deviceProfile(devices: readonly ProfiledDevice[]): string {
  const complete = devices.flatMap(({ device, model }) => (model ? [{ device, model }] : []));
  const models = new Map(complete.map(({ model }) => [model.metadata.name ?? "", model]));
  return JSON.stringify({
    deviceInstances: complete.map(({ device, model }) => instanceOf(device, model)),
    deviceModels: [...models].map(([name, { spec }]) => ({
      name,
      properties: (spec?.properties ?? []).map(propertyOf),
    })),
    protocols: complete.map(({ device }) => protocolOf(device)),
  });
}

const customized = "customized-protocol";

function instanceOf(device: Device, model: DeviceModel): object {
  const { metadata, spec = {} } = device;
  const types = new Map((model.spec?.properties ?? []).map((property) => [property.name, property]));
  const properties = spec.properties ?? [];
  return {
    id: metadata.name,
    name: metadata.name,
    protocol: protocolName(device),
    model: model.metadata.name,
    twins: properties.map(({ name, desired }) => {
      const type = types.get(name)?.type?.toLowerCase();
      const value = {
        value: desired?.value ?? "",
        metadata: { ...(type && { type }), ...desired?.metadata },
      };
      return { propertyName: name, desired: value, reported: { value: "" } };
    }),
    propertyVisitors: properties.map((property) => ({
      ...visitorOf(property, types.get(property.name), spec.protocol?.protocolName ?? ""),
      modelName: model.metadata.name,
    })),
  };
}

function visitorOf(
  { name, visitors, reportCycle, collectCycle }: DeviceProperty,
  model: ModelProperty | undefined,
  protocol: string,
): object {
  const given = { ...model?.visitors, ...visitors };
  const { protocolName: own = protocol, configData = {} } = given;
  const isKnown = isKnownInAlpha(own);
  const visitorConfig = isKnown ? configData : { protocolName: own, configData };
  return {
    name,
    propertyName: name,
    protocol: isKnown ? own : customized,
    ...(reportCycle !== undefined && { reportCycle }),
    ...(collectCycle !== undefined && { collectCycle }),
    visitorConfig,
  };
}

function propertyOf({
  name,
  description,
  type = "STRING",
  accessMode,
  minimum,
  maximum,
  unit,
}: ModelProperty): object {
  return {
    name,
    dataType: type.toLowerCase(),
    ...(description && { description }),
    accessMode: accessMode ?? "ReadWrite",
    ...(minimum !== undefined && { minimum: Number(minimum) }),
    ...(maximum !== undefined && { maximum: Number(maximum) }),
    ...(unit && { unit }),
  };
}

function protocolOf(device: Device): object {
  const { protocolName: name = "", configData = {} } = device.spec?.protocol ?? {};
  const { known, own, common, customized: values } = alphaProtocol(name, configData);
  return {
    name: protocolName(device),
    protocol: known ?? customized,
    protocolConfig: known === undefined ? { protocolName: name, configData: own } : own,
    protocolCommonConfig: { ...common, ...(Object.keys(values).length > 0 && { customizedValues: values }) },
  };
}

function protocolName({ metadata, spec }: Device): string {
  const name = spec?.protocol?.protocolName ?? "";
  return `${isKnownInAlpha(name) ? name : customized}-${metadata.name}`;
}
