import { fitsType, longestReportedValue } from "#shared/devices";
import type { DriverReport, RefusedValue } from "#shared/topics";
import type { BoundDevice, DeviceRegistry } from "#edge/device-twin/devices";
import type { DeviceValues } from "./device-values.ts";

export interface DrivenDevicesParts {
  readonly registry: DeviceRegistry;
  readonly values: Pick<DeviceValues, "take">;
}

/** Devices that a driver of edgecore reads. */
export class DrivenDevices {
  readonly #parts: DrivenDevicesParts;

  constructor(parts: DrivenDevicesParts) {
    this.#parts = parts;
  }

  /**
   * Takes what a driver has read. A loss of power may take the last moments of it: the driver reads again.
   * @returns what was refused; undefined for a device that is not here
   */
  async report({
    namespace,
    name,
    values,
    state,
  }: DriverReport): Promise<readonly RefusedValue[] | undefined> {
    const device = this.#parts.registry.ofObject(namespace, name);
    if (!device) return undefined;
    const typed = values.map((one) => ({ ...one, type: typeOf(device, one.name) }));
    const rejected = typed.flatMap((one) => refusal(one));
    const taken = typed.filter((one) => !rejected.some((other) => other.name === one.name));
    await this.#parts.values.take(device, { values: taken, state, rejected: [] }, "buffered");
    return rejected;
  }
}

function typeOf(device: BoundDevice, name: string): string {
  return device.listed?.modelTypes.get(name) ?? "string";
}

function refusal({ name, value, type }: { name: string; value: string; type: string }): RefusedValue[] {
  const shown = JSON.stringify(value.slice(0, 100));
  if (value.length > longestReportedValue)
    return [{ name, problem: `${shown} is longer than ${longestReportedValue} characters` }];
  return fitsType(value, type) === true ? [] : [{ name, problem: `${shown} is not of type ${type}` }];
}
