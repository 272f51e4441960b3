import type { Logger } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import { encodeDiscovery } from "#edge/edge-hub/codec";
import type { AnnouncementEvents } from "#edge/device-twin/events";
import type { GroupCommit } from "#edge/device-twin/outbox";
import { readAnnouncement } from "./announcement.ts";
import { offeredObjects, type DiscoveredProperty } from "./offered-objects.ts";

export interface DiscoveryParts {
  readonly node: string;
  /** First level of the topics of announcements; undefined: discovery is off. */
  readonly prefix: string | undefined;
  readonly commit: GroupCommit;
  readonly announcements: Pick<AnnouncementEvents, "add">;
  readonly log: Logger;
}

/** Devices and properties of a device: clients that publish announcements must not fill the outbox or the cloud. */
const mostDiscovered = 1000;
const mostPropertiesFound = 100;

/**
 * Collects the announcements of Home Assistant's MQTT discovery by device, and offers a Device and a DeviceModel to the
 * cloud when they change. The cloud creates them or not.
 */
export class HomeAssistantDiscovery {
  /** Topic filters of announcements. */
  readonly filters: readonly string[];
  readonly #parts: DiscoveryParts;
  /** By device and property name. */
  readonly #found = new Map<string, Map<string, DiscoveredProperty>>();
  /** The property announced on each topic, which an empty payload there withdraws. */
  readonly #byTopic = new Map<string, DiscoveredProperty>();

  constructor(parts: DiscoveryParts) {
    this.#parts = parts;
    this.filters = parts.prefix ? discoveryFilters(parts.prefix) : [];
  }

  /** @returns undefined for other topics and when nothing new is offered; otherwise settles with the commit */
  receive({ topic, payload }: MqttMessage): Promise<void> | undefined {
    const { prefix } = this.#parts;
    const announcement = prefix ? readAnnouncement(prefix, topic, payload) : undefined;
    if (!announcement) return undefined;
    if (announcement.kind === "property") return this.#add(topic, announcement.found, announcement.problem);
    const before = this.#forget(topic);
    if (announcement.kind === "unusable") this.#report(topic, announcement.problem);
    else this.#parts.announcements.add(topic, undefined);
    if (before && announcement.kind === "withdrawn")
      this.#parts.log.info("announcement withdrawn, the Device keeps the property", {
        topic,
        device: before.device,
        property: before.property.name,
      });
    return undefined;
  }

  #add(topic: string, one: DiscoveredProperty, problem: string | undefined): Promise<void> | undefined {
    const { commit, node } = this.#parts;
    const known = this.#found.get(one.device) ?? new Map<string, DiscoveredProperty>();
    if (known.size === 0 && this.#found.size >= mostDiscovered)
      return this.#report(topic, `more than ${mostDiscovered} devices`);
    if (!known.has(one.property.name) && known.size >= mostPropertiesFound)
      return this.#report(topic, `more than ${mostPropertiesFound} properties of one device`);
    this.#report(topic, problem);
    this.#byTopic.set(topic, one);
    if (JSON.stringify(known.get(one.property.name)) === JSON.stringify(one)) return undefined;
    const before = known.get(one.property.name);
    this.#put(one, known, one);
    commit.onRollback(() => this.#put(one, known, before));
    const offer = offeredObjects([...known.values()], node);
    commit.report((stamp) => encodeDiscovery(stamp, one.device, offer), `discovered/${one.device}`);
    return commit.settled();
  }

  #put(
    { device, property }: DiscoveredProperty,
    known: Map<string, DiscoveredProperty>,
    one: DiscoveredProperty | undefined,
  ): void {
    if (one) this.#found.set(device, known.set(property.name, one));
    else known.delete(property.name);
    if (known.size === 0) this.#found.delete(device);
  }

  #report(topic: string, problem: string | undefined): undefined {
    if (this.#parts.announcements.add(topic, problem))
      this.#parts.log.warn("announcement cannot be used completely", { topic, problem });
    return undefined;
  }

  #forget(topic: string): DiscoveredProperty | undefined {
    const one = this.#byTopic.get(topic);
    this.#byTopic.delete(topic);
    const known = one && this.#found.get(one.device);
    if (known) this.#put(one, known, undefined);
    return one;
  }
}

function discoveryFilters(prefix: string): string[] {
  return [`${prefix}/+/+/config`, `${prefix}/+/+/+/config`];
}
