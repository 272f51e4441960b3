import type { Logger } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import { encodeDiscovery } from "#edge/edge-hub/codec";
import type { AnnouncementEvents } from "#edge/device-twin/events";
import type { GroupCommit } from "#edge/device-twin/outbox";
import { readAnnouncement, type Announcement } from "./announcement.ts";
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
/** Characters of all descriptions, which are kept: those of a thousand properties with long templates. */
const mostCharacters = 8_000_000;

type Found = Extract<Announcement, { kind: "properties" }>;
type Properties = Map<string, DiscoveredProperty>;

/**
 * Collects the announcements of Home Assistant's MQTT discovery by device, and offers a Device and a DeviceModel to the
 * cloud when they change. The cloud creates them or not.
 */
export class HomeAssistantDiscovery {
  /** Topic filters of announcements. */
  readonly filters: readonly string[];
  readonly #parts: DiscoveryParts;
  /** By device and property name. */
  readonly #found = new Map<string, Properties>();
  /** The properties announced on each topic, which an empty payload there withdraws. */
  readonly #byTopic = new Map<string, readonly DiscoveredProperty[]>();
  /** Hash of the last payload by topic: devices repeat their announcements with every start of anything. */
  readonly #last = new Map<string, bigint | number>();
  #characters = 0;

  constructor(parts: DiscoveryParts) {
    this.#parts = parts;
    this.filters = parts.prefix ? discoveryFilters(parts.prefix) : [];
  }

  /** @returns undefined for other topics and when nothing new is offered; otherwise settles with the commit */
  receive({ topic, payload }: MqttMessage): Promise<void> | undefined {
    const { prefix } = this.#parts;
    if (!prefix || !topic.startsWith(`${prefix}/`) || this.#isRepeated(topic, payload)) return undefined;
    const announcement = readAnnouncement(prefix, topic, payload);
    if (!announcement) return undefined;
    if (announcement.kind === "properties") return this.#add(topic, announcement);
    const before = this.#forget(topic);
    this.#report(topic, announcement.kind === "unusable" ? announcement.problem : undefined);
    if (before.length > 0 && announcement.kind === "withdrawn")
      this.#parts.log.info("announcement withdrawn, the Device keeps the properties", {
        topic,
        device: before[0]?.device,
        properties: before.map(({ property }) => property.name),
      });
    return undefined;
  }

  #isRepeated(topic: string, payload: Uint8Array): boolean {
    const hash = Bun.hash(payload);
    if (this.#last.get(topic) === hash && payload.length > 0) return true;
    if (this.#last.size >= mostDiscovered * mostPropertiesFound) this.#last.clear();
    if (payload.length === 0) this.#last.delete(topic);
    else this.#last.set(topic, hash);
    return false;
  }

  #add(topic: string, { device, found, problems }: Found): Promise<void> | undefined {
    const { commit, node } = this.#parts;
    const known = this.#found.get(device) ?? new Map<string, DiscoveredProperty>();
    if (known.size === 0 && this.#found.size >= mostDiscovered)
      return this.#report(topic, `more than ${mostDiscovered} devices`);
    this.#dropGone(topic, found);
    const [taken, left] = this.#takeable(known, found);
    const changed = taken.filter(
      (one) => JSON.stringify(known.get(one.property.name)) !== JSON.stringify(one),
    );
    this.#report(topic, [...problems, ...left].join("; ") || undefined);
    this.#byTopic.set(topic, taken);
    if (changed.length === 0) return undefined;
    for (const one of changed) {
      const last = known.get(one.property.name);
      this.#put(one, one);
      commit.onRollback(() => {
        this.#put(one, last);
        // It is announced again, and must not be taken for known then.
        this.#last.delete(topic);
      });
    }
    const offer = offeredObjects([...(this.#found.get(device)?.values() ?? [])], node);
    commit.report((stamp) => encodeDiscovery(stamp, device, offer), `discovered/${device}`);
    return commit.settled();
  }

  /** Properties that were announced on this topic, and are no longer. */
  #dropGone(topic: string, found: readonly DiscoveredProperty[]): void {
    const names = new Set(found.map(({ device, property }) => `${device} ${property.name}`));
    const gone = this.#byTopic
      .get(topic)
      ?.filter(({ device, property }) => !names.has(`${device} ${property.name}`));
    for (const one of gone ?? []) this.#put(one, undefined);
  }

  /** What of an announcement there is room for, and why there is none for the rest. */
  #takeable(known: Properties, found: readonly DiscoveredProperty[]): [DiscoveredProperty[], string[]] {
    const names = new Set(known.keys());
    let characters = this.#characters;
    const taken = found.filter((one) => {
      const { name } = one.property;
      if (!names.has(name) && names.size >= mostPropertiesFound) return false;
      characters += sizeOf(one) - sizeOf(known.get(name));
      if (characters > mostCharacters) return false;
      names.add(name);
      return true;
    });
    if (taken.length === found.length) return [taken, []];
    const why =
      characters > mostCharacters
        ? `more than ${mostCharacters} characters in all announcements`
        : `more than ${mostPropertiesFound} properties of one device`;
    return [taken, [why]];
  }

  /** Sets the property that another one describes; undefined removes it. */
  #put({ device, property }: DiscoveredProperty, one: DiscoveredProperty | undefined): void {
    const known = this.#found.get(device) ?? new Map<string, DiscoveredProperty>();
    this.#characters += sizeOf(one) - sizeOf(known.get(property.name));
    if (one) this.#found.set(device, known.set(property.name, one));
    else known.delete(property.name);
    if (known.size === 0) this.#found.delete(device);
  }

  #report(topic: string, problem: string | undefined): undefined {
    if (this.#parts.announcements.add(topic, problem))
      this.#parts.log.warn("announcement cannot be used completely", { topic, problem });
    return undefined;
  }

  #forget(topic: string): readonly DiscoveredProperty[] {
    const before = this.#byTopic.get(topic) ?? [];
    this.#byTopic.delete(topic);
    for (const one of before) this.#put(one, undefined);
    return before;
  }
}

function sizeOf(one: DiscoveredProperty | undefined): number {
  return one ? JSON.stringify(one).length : 0;
}

function discoveryFilters(prefix: string): string[] {
  return [`${prefix}/+/+/config`, `${prefix}/+/+/+/config`];
}
