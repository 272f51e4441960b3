import { hasStaleTwins, nothingNew, stateUnknown, type StatusWriter } from "#cloud/device-controller/status";
import type { Informer } from "#cloud/kube-client";
import { objectKey, type Device, type DeviceModel } from "#shared/kube";
import { modelKeyOf, nodeOf } from "./bindings.ts";

export interface TidyParts {
  readonly devices: Informer<Device>;
  readonly model: (key: string) => DeviceModel | undefined;
  readonly writer: Pick<StatusWriter, "submit">;
}

/**
 * Removes from a status what no report will: twins of properties that Device and model do not have any more, and the state a
 * device had on the node it was taken from.
 */
export class Tidy {
  readonly #parts: TidyParts;

  constructor(parts: TidyParts) {
    this.#parts = parts;
  }

  /** `old`: as it was before a change. */
  device(device: Device, old?: Device): void {
    const { model, writer } = this.#parts;
    const isMoved = old !== undefined && nodeOf(old) !== nodeOf(device) && device.status?.state !== undefined;
    if (isMoved) writer.submit(objectKey(device), stateUnknown, none);
    else if (hasStaleTwins(device, model(modelKeyOf(device))))
      writer.submit(objectKey(device), nothingNew, none);
  }

  model(changed: DeviceModel): void {
    const key = objectKey(changed);
    for (const device of this.#parts.devices.list()) if (modelKeyOf(device) === key) this.device(device);
  }
}

function none(): void {
  // Nothing waits for it.
}
