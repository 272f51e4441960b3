import type { Clock } from "#shared/clock";
import { commandChanges } from "#shared/devices";
import type { JsonBody } from "#shared/topics";
import { commandsFor, type DeviceRegistry } from "#edge/device-twin/devices";
import type { GroupCommit } from "#edge/device-twin/outbox";
import { applySync, readTwins, toCloud } from "#edge/device-twin/twins";
import type { TwinWriter } from "./twin-writer.ts";

export interface CloudTwinsParts {
  readonly registry: DeviceRegistry;
  readonly commit: GroupCommit;
  readonly writer: TwinWriter;
  readonly clock: Pick<Clock, "nowMs">;
}

/**
 * Twins that the cloud, or an application in its place, sends as `twin/cloud_updated`; as KubeEdge's
 * `dtmanager/twin.go`.
 */
export class CloudTwins {
  readonly #parts: CloudTwinsParts;

  constructor(parts: CloudTwinsParts) {
    this.#parts = parts;
  }

  /**
   * Merges the `twin` of a body by the versions in it; twins that are newer here are reported back. Settles with the
   * commit.
   * @param name of the device as topics have it; one that this node does not have is ignored
   */
  sync(name: string, body: JsonBody): Promise<void> {
    const { registry, commit, writer, clock } = this.#parts;
    const device = registry.find(name);
    const twins = readTwins(body["twin"]);
    if (!device || !twins) return Promise.resolve();
    const nowMs = clock.nowMs();
    const commands = commandsFor(device);
    const { changes, newerHere } = applySync(device.twins, twins, nowMs);
    for (const { name: property, after } of changes) commit.setTwin(device, property, after);
    if (newerHere.length > 0) {
      const newer = newerHere.flatMap((property) => {
        const twin = device.twins.get(property);
        return twin ? [[property, toCloud(twin)] as const] : [];
      });
      commit.reportTwins(device, nowMs, newer);
    }
    return commit.reply({
      publish: [...writer.messages(device, changes), ...commandChanges(commands, commandsFor(device))],
    });
  }
}
