import type { Clock } from "#shared/clock";
import { asText, isRecord } from "#shared/json";
import { deviceTopic } from "#shared/mqtt";
import type { JsonBody } from "#shared/topics";
import {
  topicNames,
  wireAttributes,
  type BoundDevice,
  type DeviceAttribute,
  type DeviceRegistry,
} from "#edge/device-twin/devices";
import { deviceMessage, type GroupCommit } from "#edge/device-twin/outbox";
import { readEventId } from "#edge/device-twin/twins";

export interface AttributeUpdatesParts {
  readonly registry: DeviceRegistry;
  readonly commit: GroupCommit;
  readonly clock: Pick<Clock, "nowMs">;
}

/** Takes over the attributes that the cloud gives a device; as KubeEdge's `dtmanager/device.go`. */
export class AttributeUpdates {
  readonly #parts: AttributeUpdatesParts;

  constructor(parts: AttributeUpdatesParts) {
    this.#parts = parts;
  }

  /** Merges the `attributes` of a body and publishes those that changed. Settles with the commit. */
  update(name: string, body: JsonBody): Promise<void> {
    const { registry, commit, clock } = this.#parts;
    const device = registry.find(name);
    if (!device || !isRecord(body["attributes"])) return Promise.resolve();
    const changed = this.set(device, body["attributes"], { replace: false });
    if (changed.length === 0) return commit.settled();
    const stamp = { eventId: readEventId(body), nowMs: clock.nowMs() };
    const attributes = wireAttributes(changed);
    return commit.reply({
      publish: topicNames(device).map((topicName) =>
        deviceMessage(deviceTopic(topicName, "updated"), stamp, { attributes }),
      ),
    });
  }

  /**
   * Sets the attributes in `wanted`; null removes one that is optional. The caller waits for the commit.
   * @param options `replace`: attributes that are not in `wanted` are removed
   * @returns what was set
   */
  set(
    device: BoundDevice,
    wanted: JsonBody,
    options: { readonly replace: boolean },
  ): [string, DeviceAttribute][] {
    const { commit } = this.#parts;
    const changed: [string, DeviceAttribute][] = [];
    for (const [name, value] of Object.entries(wanted)) {
      const before = device.attributes.get(name);
      if (value === null && before?.optional) commit.setAttribute(device, name, undefined);
      const attribute = isRecord(value) ? readAttribute(value) : undefined;
      if (!attribute || sameAttribute(before, attribute)) continue;
      commit.setAttribute(device, name, attribute);
      changed.push([name, attribute]);
    }
    const unlisted = options.replace
      ? [...device.attributes.keys()].filter((name) => !Object.hasOwn(wanted, name))
      : [];
    for (const name of unlisted) commit.setAttribute(device, name, undefined);
    return changed;
  }
}

function readAttribute({ value, optional, metadata }: JsonBody): DeviceAttribute {
  return {
    value: asText(value),
    optional: optional !== false,
    type: asText(isRecord(metadata) ? metadata["type"] : undefined) || "string",
  };
}

function sameAttribute(a: DeviceAttribute | undefined, b: DeviceAttribute): boolean {
  return a !== undefined && a.value === b.value && a.optional === b.optional && a.type === b.type;
}
