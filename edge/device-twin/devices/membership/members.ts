import { randomUUID } from "node:crypto";
import type { Clock } from "#shared/clock";
import { commandChanges } from "#shared/devices";
import { nodePrefix } from "#shared/mqtt";
import { commandsFor, describeDevice, liveTwins, type BoundDevice } from "#edge/device-twin/devices";
import { deviceMessage, type DeviceMessage, type GroupCommit } from "#edge/device-twin/outbox";
import type { PlainDevices } from "#edge/device-twin/values";

export interface MembersParts {
  readonly commit: GroupCommit;
  readonly plain: Pick<PlainDevices, "watch">;
  readonly clock: Pick<Clock, "nowMs">;
  readonly node: string;
}

/** Removes devices from the node, and publishes who was added and removed. */
export class Members {
  readonly #parts: MembersParts;

  constructor(parts: MembersParts) {
    this.#parts = parts;
  }

  /** Removes devices with their twins, history, topics and retained commands. Settles with the commit. */
  remove(devices: readonly BoundDevice[]): Promise<void> {
    const { commit, plain } = this.#parts;
    const cleared = devices.flatMap((device) => commandChanges(commandsFor(device), []));
    for (const device of devices) {
      plain.watch(device, undefined);
      commit.removeDevice(device);
    }
    return commit.reply({ publish: [this.updated({ removed: devices }), ...cleared] });
  }

  /** The message on `membership/updated`, as KubeEdge's `dtmanager/membership.go`. */
  updated(change: {
    readonly added?: readonly BoundDevice[];
    readonly removed?: readonly BoundDevice[];
  }): DeviceMessage {
    const { clock, node } = this.#parts;
    return deviceMessage(
      `${nodePrefix}${node}/membership/updated`,
      { eventId: randomUUID(), nowMs: clock.nowMs() },
      {
        added_devices: change.added?.map(describeMember) ?? null,
        removed_devices: change.removed?.map(describeMember) ?? null,
      },
    );
  }
}

function describeMember(device: BoundDevice): unknown {
  const twin = liveTwins(device);
  return { ...describeDevice(device), ...(Object.keys(twin).length > 0 ? { twin } : {}) };
}
