import { isRecord, recordOf } from "#shared/json";
import type { Device, DeviceProperty, ProtocolConfig } from "#shared/kube";
import type { DeviceOfModel } from "./messages.ts";

/**
 * The device with how it is read where its model alone says it: visitors of properties, and (KubeEdge 1.22 and later) settings of
 * the protocol. What the Device says itself comes first.
 */
export function effectiveDevice({ device, model }: DeviceOfModel): Device {
  const defaults = new Map((model?.spec?.properties ?? []).map(({ name, visitors }) => [name, visitors]));
  const properties = (device.spec?.properties ?? []).map((property): DeviceProperty => {
    const visitors = merged(defaults.get(property.name), property.visitors);
    return visitors ? { ...property, visitors } : property;
  });
  const ofModel = recordOf(model?.spec)["protocolConfigData"];
  const protocol = merged(isRecord(ofModel) ? { configData: ofModel } : undefined, device.spec?.protocol);
  return { ...device, spec: { ...device.spec, properties, ...(protocol && { protocol }) } };
}

function merged(
  base: ProtocolConfig | undefined,
  own: ProtocolConfig | undefined,
): ProtocolConfig | undefined {
  if (!base || !own) return own ?? base;
  return { ...base, ...own, configData: { ...base.configData, ...own.configData } };
}
