import {
  validateDevice,
  validateDeviceModel,
  type Device,
  type DeviceCause,
  type KubeObject,
} from "#shared/kube";

const group = "devices.kubeedge.io";

/** Finds a stored object by group, plural and key. */
type Lookup = (
  group: string,
  plural: string,
  key: { readonly namespace: string; readonly name: string },
) => KubeObject | undefined;

/** What the API refuses of Devices and DeviceModels beyond their schema: see the rules in `#shared/kube`. */
export function admitDevices(object: KubeObject, lookup: Lookup): readonly DeviceCause[] {
  if (object.apiVersion?.startsWith(`${group}/`) !== true) return [];
  if (object.kind === "DeviceModel") return validateDeviceModel(object);
  if (object.kind !== "Device") return [];
  const device: Device = object;
  const name = device.spec?.deviceModelRef?.name;
  if (!name) return [];
  const namespace = device.metadata.namespace ?? "default";
  return validateDevice(device, lookup(group, "devicemodels", { namespace, name }));
}
