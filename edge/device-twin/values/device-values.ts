import type { Clock } from "#shared/clock";
import type { DeviceReport, RejectedValue } from "#shared/devices";
import { commandsFor, type BoundDevice } from "#edge/device-twin/devices";
import type { DeviceMessage, Durability, GroupCommit } from "#edge/device-twin/outbox";
import { applyReportedValue, differs, type TwinChange } from "#edge/device-twin/twins";
import type { TwinWriter } from "./twin-writer.ts";

export interface DeviceValuesParts {
  readonly commit: GroupCommit;
  readonly writer: TwinWriter;
  readonly clock: Pick<Clock, "nowMs">;
  /** Called with values that do not match their property. */
  readonly onRejected: (device: BoundDevice, values: readonly RejectedValue[]) => void;
}

/** A device that cannot do what is desired gets the command again, but not with each of its reports. */
const remindMs = 30_000;

/**
 * The way of a value that was read from a device into its twin, history and the report to the cloud. Who reads it does
 * not matter: today that is `PlainDevices`, a driver calls `take` the same way. Clients that know twins send
 * `twin/update` instead (`requests`).
 */
export class DeviceValues {
  readonly #parts: DeviceValuesParts;

  constructor(parts: DeviceValuesParts) {
    this.#parts = parts;
  }

  /** @returns undefined when nothing changes; otherwise settles with the commit and rejects when it fails */
  take(
    device: BoundDevice,
    { values, state, rejected }: DeviceReport,
    durability: Durability = "durable",
  ): Promise<void> | undefined {
    const { commit, writer, clock, onRejected } = this.#parts;
    if (rejected.length > 0) onRejected(device, rejected);
    const nowMs = clock.nowMs();
    const changes = values.map(({ name, value, type }): TwinChange => {
      const before = device.twins.get(name);
      return { name, before, after: applyReportedValue(before, value, type, nowMs) };
    });
    const cameOnline = state === "online" && device.state !== "online";
    const stateMessages = state === undefined ? [] : writer.writeState(device, state);
    if (changes.length === 0 && stateMessages.length === 0) return undefined;
    writer.write(device, changes, durability);
    const publish = [
      ...stateMessages,
      ...writer.messages(device, changes),
      ...(cameOnline ? repeat(device, nowMs) : []),
      ...remind(device, changes, nowMs),
    ];
    return commit.reply({ publish });
  }

  /** The state of a device that is silent for longer than it may be. @returns undefined when that is known */
  expire(device: BoundDevice): Promise<void> | undefined {
    const { commit, writer } = this.#parts;
    if (device.state === "unknown") return undefined;
    return commit.reply({ publish: writer.writeState(device, "unknown", device.lastOnline) });
  }
}

/**
 * Commands are not retained, so a device that was away has missed them: those for values that it reported differently.
 * What cannot be read back, such as a button, is not pressed again.
 */
function repeat(device: BoundDevice, nowMs: number): DeviceMessage[] {
  const read = device.mapping?.properties.filter(({ sources }) => sources.length > 0).map(({ name }) => name);
  return commandsFor(device).filter(({ property, retain }) => {
    const twin = device.twins.get(property);
    if (retain || !twin?.actual || !differs(twin) || read?.includes(property) !== true) return false;
    device.reminded = (device.reminded ?? new Map<string, number>()).set(property, nowMs);
    return true;
  });
}

/** Commands for the desired values that the reported ones differ from: a plain device does not see the delta. */
function remind(device: BoundDevice, changes: readonly TwinChange[], nowMs: number): DeviceMessage[] {
  const drifted = changes.filter(({ after }) => differs(after)).map(({ name }) => name);
  if (drifted.length === 0) return [];
  return commandsFor(device).filter(({ property }) => {
    const desiredMs = device.twins.get(property)?.expected?.timestamp ?? 0;
    const sentMs = Math.max(desiredMs, device.reminded?.get(property) ?? 0);
    // Absolute: a clock that was set back must not keep the command from being sent for as long.
    if (!drifted.includes(property) || Math.abs(nowMs - sentMs) < remindMs) return false;
    device.reminded = (device.reminded ?? new Map<string, number>()).set(property, nowMs);
    return true;
  });
}
