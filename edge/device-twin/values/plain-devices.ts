import type { Clock } from "#shared/clock";
import { readReport, type DeviceMapping, type DeviceReport } from "#shared/devices";
import { TopicTrie } from "#shared/mqtt";
import type { MqttMessage } from "#shared/topics";
import type { BoundDevice } from "#edge/device-twin/devices";
import { durabilityOf, type GroupCommit } from "#edge/device-twin/outbox";
import type { DeviceValues } from "./device-values.ts";
import { Silence } from "./silence.ts";

export interface PlainDevicesParts {
  readonly commit: Pick<GroupCommit, "onRollback">;
  readonly values: Pick<DeviceValues, "take" | "expire">;
  readonly clock: Pick<Clock, "after" | "monotonicMs">;
  /** Called when `filters` changed. */
  readonly onFilters: () => void;
}

/** Plain MQTT devices by the topics of their mapping: finds those that a message is of and reads its values. */
export class PlainDevices implements Disposable {
  readonly #parts: PlainDevicesParts;
  readonly #readers = new TopicTrie<BoundDevice>();
  /** How many devices read each filter. */
  readonly #uses = new Map<string, number>();

  readonly #silence: Silence;

  constructor(parts: PlainDevicesParts) {
    const { clock, values } = parts;
    this.#parts = parts;
    this.#silence = new Silence({
      clock,
      // The commit logs its failures; a state that was not stored is found again with the next silence.
      onSilent: (device) => void values.expire(device)?.catch(() => undefined),
      onOff: (device, property) => void this.#switchOff(device, property)?.catch(() => undefined),
    });
  }

  /** Topic filters of all plain devices, each once. */
  get filters(): readonly string[] {
    return [...this.#uses.keys()];
  }

  /** @returns a promise for each device whose values change; see `DeviceValues.take` */
  receive(message: MqttMessage): Promise<void>[] {
    const taken: Promise<void>[] = [];
    for (const device of this.#readers.match(message.topic)) {
      const committed = device.mapping && this.#read(device, device.mapping, message);
      if (committed) taken.push(committed);
    }
    return taken;
  }

  [Symbol.dispose](): void {
    this.#silence[Symbol.dispose]();
  }

  #read(
    device: BoundDevice,
    mapping: DeviceMapping,
    { topic, payload, qos }: MqttMessage,
  ): Promise<void> | undefined {
    device.said ??= new Map<number, boolean>();
    const report = readReport(mapping, topic, payload, device.said);
    const { values, state } = report;
    if (values.length > 0 || state !== undefined) this.#silence.heard(device);
    const delays = mapping.properties.filter(({ offDelayMs }) => offDelayMs !== undefined);
    for (const { name, offDelayMs = 0 } of delays) {
      const reported = values.find((value) => value.name === name);
      if (reported) this.#silence.reported(device, name, { value: reported.value, offDelayMs });
    }
    return this.#parts.values.take(device, alive(device, mapping, report), durabilityOf(qos));
  }

  #switchOff(device: BoundDevice, name: string): Promise<void> | undefined {
    const property = device.mapping?.properties.find((one) => one.name === name);
    if (!property || device.twins.get(name)?.actual?.value !== "true") return undefined;
    const { type } = property;
    return this.#parts.values.take(device, {
      values: [{ name, value: "false", type }],
      state: undefined,
      rejected: [],
    });
  }

  /** Reads the topics of `mapping` instead of those of the device's own mapping; undone when the commit fails. */
  watch(device: BoundDevice, mapping: DeviceMapping | undefined): void {
    this.#silence.watch(device, mapping);
    this.#parts.commit.onRollback(() => this.#silence.watch(device, device.mapping));
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

/** A device that was unknown because it was silent is online with what it reports, unless it says something else. */
function alive(
  device: BoundDevice,
  { state, expireAfterMs }: DeviceMapping,
  report: DeviceReport,
): DeviceReport {
  const wasSilent = device.state === "unknown" || (device.state === "" && !state);
  if (expireAfterMs === undefined || report.values.length === 0 || !wasSilent) return report;
  return { ...report, state: report.state ?? "online" };
}
