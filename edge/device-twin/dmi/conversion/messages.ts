import type { Device, DeviceModel } from "#shared/kube";

/** A Device with what its model adds, and that model. */
export interface DeviceOfModel {
  readonly device: Device;
  readonly model: DeviceModel | undefined;
}

/** Devices and models as the messages of one version of DMI. */
export interface Conversion {
  device(given: DeviceOfModel): object;
  model(model: DeviceModel): object;
}
