import { readReport, type DeviceMapping } from "#shared/devices";
import { TopicTrie } from "#shared/mqtt";
import type { MqttMessage } from "#shared/topics";
import type { BoundDevice } from "#edge/device-twin/devices";
import type { GroupCommit } from "#edge/device-twin/outbox";
import type { DeviceValues } from "./device-values.ts";

export interface PlainDevicesParts {
  readonly commit: Pick<GroupCommit, "onRollback">;
  readonly values: Pick<DeviceValues, "take">;
  /** Called when `filters` changed. */
  readonly onFilters: () => void;
}

/** Plain MQTT devices by the topics of their mapping: finds those that a message is of and reads its values. */
export class PlainDevices {
  readonly #parts: PlainDevicesParts;
  readonly #readers = new TopicTrie<BoundDevice>();
  /** How many devices read each filter. */
  readonly #uses = new Map<string, number>();

  constructor(parts: PlainDevicesParts) {
    this.#parts = parts;
  }

  /** Topic filters of all plain devices, each once. */
  get filters(): readonly string[] {
    return [...this.#uses.keys()];
  }

  /** @returns a promise for each device whose values change; see `DeviceValues.take` */
  receive({ topic, payload }: MqttMessage): Promise<void>[] {
    const taken: Promise<void>[] = [];
    for (const device of this.#readers.match(topic)) {
      const report = device.mapping && readReport(device.mapping, topic, payload);
      const committed = report && this.#parts.values.take(device, report);
      if (committed) taken.push(committed);
    }
    return taken;
  }

  /** Reads the topics of `mapping` instead of those of the device's own mapping; undone when the commit fails. */
  watch(device: BoundDevice, mapping: DeviceMapping | undefined): void {
    const before = device.mapping?.filters ?? [];
    const after = mapping?.filters ?? [];
    if (before.join("\n") === after.join("\n")) return;
    this.#parts.commit.onRollback(() => this.#move(device, after, before));
    this.#move(device, before, after);
  }

  #move(device: BoundDevice, before: readonly string[], after: readonly string[]): void {
    for (const filter of before) {
      this.#readers.remove(filter, device);
      const uses = (this.#uses.get(filter) ?? 1) - 1;
      if (uses === 0) this.#uses.delete(filter);
      else this.#uses.set(filter, uses);
    }
    for (const filter of after) {
      this.#readers.add(filter, device);
      this.#uses.set(filter, (this.#uses.get(filter) ?? 0) + 1);
    }
    this.#parts.onFilters();
  }
}
