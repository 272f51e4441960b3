import { sanitizeDevice } from "#shared/devices";
import { isRecord, tryJson } from "#shared/json";
import type { Device, DeviceModel, KubeObject } from "#shared/kube";
import type { DeviceName } from "#shared/topics";
import type { Store } from "#edge/store";
import { driverOf } from "./catalog.ts";

/** The Devices and DeviceModels in the store, as far as drivers need them. */
export class StoredDevices {
  readonly #metas: Store["metas"];
  readonly #show: (device: Device) => Device;

  /** @param show gives a Device the desired values that were set on this node */
  constructor(metas: Store["metas"], show: (device: Device) => Device) {
    this.#metas = metas;
    this.#show = show;
  }

  device(namespace: string, name: string): Device | undefined {
    const stored = this.#read("device", { namespace, name });
    return stored && this.#show(sanitizeDevice<Device>(stored));
  }

  /** The model of a Device. */
  modelOf(namespace: string, name: string): DeviceModel | undefined {
    const model = this.device(namespace, name)?.spec?.deviceModelRef?.name;
    const stored = model ? this.#read("devicemodel", { namespace, name: model }) : undefined;
    return stored && sanitizeDevice<DeviceModel>(stored);
  }

  /** The Devices whose protocol has a driver. @param model only those of this model */
  *driven(model?: DeviceName): Generator<DeviceName> {
    for (const key of this.#metas.keysByType("device")) {
      const place = this.#metas.nameOf(key);
      const device = place && this.#read("device", place);
      if (!place || !device) continue;
      if (isDriven(sanitizeDevice<Device>(device), place.namespace, model)) yield place;
    }
  }

  #read(type: string, place: DeviceName): KubeObject | undefined {
    const row = this.#metas.find(this.#metas.keyOf({ type, ...place }));
    const object: unknown = row && tryJson(row.value);
    // What the cloud sent of this type; `sanitizeDevice` leaves out fields of a wrong type.
    return isRecord(object) && isRecord(object["metadata"]) ? (object as unknown as KubeObject) : undefined;
  }
}

function isDriven({ spec }: Device, namespace: string, model: DeviceName | undefined): boolean {
  const isOfModel = !model || (namespace === model.namespace && spec?.deviceModelRef?.name === model.name);
  return isOfModel && driverOf(spec?.protocol?.protocolName) !== undefined;
}
