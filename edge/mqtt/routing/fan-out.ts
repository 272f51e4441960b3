import { TopicTrie } from "#shared/mqtt";
import type { Subscriber } from "#edge/mqtt/connection";
import type { OutboundBacklog, Frame, Publisher } from "#edge/mqtt/flow";
import {
  encodeIdentifiers,
  encodePublish,
  lowerQos,
  parseShared,
  type BrokerPacket,
  type QoS,
  type Subscription,
  type Version,
} from "#edge/mqtt/packet";
import { joinTarget, subscriptionWeight, targetOf } from "#edge/mqtt/sessions";
import { SharedSubscriptions, type SharedTarget } from "./shared-subscriptions.ts";

/** Counters for `$SYS/broker`; bytes are those of payloads. */
export interface Traffic {
  /** publications received from clients */
  received: number;
  receivedBytes: number;
  /** publications sent to clients */
  sent: number;
  sentBytes: number;
  /** messages dropped from full queues and for slow clients */
  dropped: number;
}

interface LiveSubscription {
  readonly subscriber: Subscriber;
  readonly subscription: Subscription;
}

/** A subscriber that gets a message, once, whatever number of its filters cover the topic. */
interface Target {
  readonly subscriber: Subscriber;
  readonly qos: QoS;
  readonly keepsRetain?: boolean;
  readonly identifiers?: readonly number[] | undefined;
  /** Its subscriptions, if one of them leaves out messages of the client itself. */
  readonly local?: readonly Subscription[];
}

/** Topics whose subscriptions are cached, and the longest of them: about 10 MB with a few subscribers each. */
const mostCached = 20_000;
const longestCached = 256;

interface SubscriberFilters {
  readonly all: Map<string, LiveSubscription>;
  weight: number;
}

/**
 * Delivers publications to connected subscribers: once to each, at the highest QoS of its matching filters (MQTT 3.1.1
 * section 3.3.5). A message of QoS 0 is encoded once for all.
 */
export class FanOut {
  readonly #traffic: Traffic;
  readonly #backlog: OutboundBacklog;
  readonly #trie = new TopicTrie<LiveSubscription>();
  readonly #filters = new Map<Subscriber, SubscriberFilters>();
  /** Subscriptions by topic, emptied whenever a filter is added or removed. */
  #cache = new Map<string, readonly Target[]>();
  readonly shared = new SharedSubscriptions();
  #weight = 0;

  constructor(traffic: Traffic, backlog: OutboundBacklog) {
    this.#traffic = traffic;
    this.#backlog = backlog;
  }

  get subscriptions(): number {
    return [...this.#filters.values()].reduce((sum, { all }) => sum + all.size, 0);
  }

  /** Weight of all subscriptions, see `subscriptionWeight`. */
  get weight(): number {
    return this.#weight;
  }

  /** Number and weight of a subscriber's filters. */
  loadOf(subscriber: Subscriber): { readonly filters: number; readonly weight: number } {
    const known = this.#filters.get(subscriber);
    return { filters: known?.all.size ?? 0, weight: known?.weight ?? 0 };
  }

  hasFilter(subscriber: Subscriber, filter: string): boolean {
    return this.#filters.get(subscriber)?.all.has(filter) === true;
  }

  /** Adds filters, or replaces the QoS of those that are there. */
  subscribe(subscriber: Subscriber, subscriptions: Iterable<Subscription>): void {
    const known = this.#filters.get(subscriber) ?? { all: new Map<string, LiveSubscription>(), weight: 0 };
    this.#filters.set(subscriber, known);
    for (const subscription of subscriptions) {
      const { topic } = subscription;
      const before = known.all.get(topic);
      if (!before) this.#weigh(known, subscriptionWeight(topic));
      const live = { subscriber, subscription };
      known.all.set(topic, live);
      if (parseShared(topic)) {
        this.shared.join(subscriber.session, subscription, subscriber);
        continue;
      }
      if (before) this.#trie.remove(topic, before);
      this.#trie.add(topic, live);
    }
    this.#cache = new Map();
  }

  unsubscribe(subscriber: Subscriber, filters: Iterable<string>): void {
    this.#remove(subscriber, filters, (filter) => this.shared.leave(subscriber.session, filter));
  }

  /** The connection is closed. @param isKept its session is kept: for its groups it is away, no more */
  remove(subscriber: Subscriber, isKept: boolean): void {
    const filters = [...(this.#filters.get(subscriber)?.all.keys() ?? [])];
    const { session } = subscriber;
    this.#remove(subscriber, filters, (filter) =>
      isKept ? this.shared.away(session, filter) : this.shared.leave(session, filter),
    );
  }

  #remove(subscriber: Subscriber, filters: Iterable<string>, leave: (filter: string) => void): void {
    const known = this.#filters.get(subscriber);
    if (!known) return;
    for (const filter of filters) {
      const live = known.all.get(filter);
      if (!live) continue;
      known.all.delete(filter);
      this.#weigh(known, -subscriptionWeight(filter));
      if (parseShared(filter)) leave(filter);
      else this.#trie.remove(filter, live);
    }
    if (known.all.size === 0) this.#filters.delete(subscriber);
    this.#cache = new Map();
  }

  /** @returns whether a subscription covers the topic, whatever becomes of the message */
  deliver(packet: BrokerPacket, { publisher, shared = [] }: DeliverOptions = {}): boolean {
    const topic = packet.topic ?? "";
    const targets = this.#targets(topic, shared);
    if (targets.length === 0) return false;
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload ?? "");
    const encoding = new SharedEncoding(packet, payload);
    for (const each of targets) {
      const target = each.local ? withoutLocal(each, packet.origin) : each;
      if (!target || !this.#hand(target, packet, encoding)) continue;
      if (publisher) this.#backlog.pace(publisher, target.subscriber.outbound);
    }
    return true;
  }

  /** @returns whether the target gets the message */
  #hand(target: Target, packet: BrokerPacket, encoding: SharedEncoding): boolean {
    const granted = lowerQos(packet.qos, target.qos);
    if (!this.#isDeliverable(target.subscriber, packet, granted)) return false;
    this.#traffic.sent += 1;
    this.#traffic.sentBytes += encoding.payload.length;
    hand(target, granted, encoding);
    return true;
  }

  #weigh(filters: SubscriberFilters, change: number): void {
    filters.weight += change;
    this.#weight += change;
  }

  #isDeliverable(subscriber: Subscriber, packet: BrokerPacket, granted: number): boolean {
    if (!subscriber.isOpen()) return false;
    const isAllowed = subscriber.mayReceive(packet.topic ?? "");
    if (!isAllowed && granted > 0) subscriber.refuse(packet);
    return isAllowed;
  }

  #targets(topic: string, shared: readonly SharedTarget[]): readonly Target[] {
    const targets = this.#subscriptionsTo(topic);
    if (shared.length === 0) return targets;
    const all = new Map(targets.map((target) => [target.subscriber, target]));
    for (const { subscriber, qos, keepsRetain = false, identifiers } of shared)
      if (subscriber)
        all.set(subscriber, joinTarget(all.get(subscriber), { subscriber, qos, keepsRetain, identifiers }));
    return [...all.values()];
  }

  /** One target for each subscriber. */
  #subscriptionsTo(topic: string): readonly Target[] {
    const known = this.#cache.get(topic);
    if (known) return known;
    const found = [...this.#search(topic).values()];
    if (topic.length > longestCached) return found;
    if (this.#cache.size >= mostCached) this.#cache.clear();
    this.#cache.set(topic, found);
    return found;
  }

  #search(topic: string): Map<Subscriber, Target> {
    const found = new Map<Subscriber, Target>();
    const own = new Map<Subscriber, Subscription[]>();
    for (const { subscriber, subscription } of this.#trie.match(topic)) {
      found.set(subscriber, joinTarget(found.get(subscriber), { ...targetOf(subscription), subscriber }));
      const all = own.get(subscriber);
      if (all) all.push(subscription);
      else own.set(subscriber, [subscription]);
    }
    for (const [subscriber, target] of found) {
      const local = own.get(subscriber) ?? [];
      if (local.some(({ noLocal }) => noLocal === true)) found.set(subscriber, { ...target, local });
    }
    return found;
  }
}

export interface DeliverOptions {
  /** Is paused while it sends faster than its subscribers read. */
  readonly publisher?: Publisher;
  /** who gets the message for its group */
  readonly shared?: readonly SharedTarget[];
}

/** The target without what it does not want of its own messages. @returns undefined when nothing is left */
function withoutLocal(target: Target, origin: string | undefined): Target | undefined {
  const { subscriber, local = [] } = target;
  if (subscriber.session !== origin) return target;
  return local
    .filter(({ noLocal }) => noLocal !== true)
    .map((subscription): Target => ({ ...targetOf(subscription), subscriber }))
    .reduce<Target | undefined>((known, more) => joinTarget(known, more), undefined);
}

function hand(
  { subscriber, keepsRetain, identifiers }: Target,
  granted: QoS,
  encoding: SharedEncoding,
): void {
  const isCommon = (keepsRetain !== true || !encoding.isRetained) && !identifiers;
  if (granted === 0 && isCommon && subscriber.isPlain) {
    subscriber.outbound.push(encoding.frame(subscriber.version));
    return;
  }
  const packet = isCommon ? encoding.packet() : encoding.special(keepsRetain === true, identifiers);
  if (granted === 0) subscriber.send(packet);
  else subscriber.deliver(packet, granted);
}

/** Encodings of a message that all its subscribers share, each made when the first one needs it. */
class SharedEncoding {
  readonly #packet: BrokerPacket;
  readonly payload: Buffer;
  #frame3: Frame | undefined;
  #frame5: Frame | undefined;
  #copy: BrokerPacket | undefined;

  constructor(packet: BrokerPacket, payload: Buffer) {
    this.#packet = packet;
    this.payload = payload;
  }

  get isRetained(): boolean {
    return this.#packet.retain === true;
  }

  /** Of QoS 0. */
  frame(version: Version): Frame {
    return version === 5 ? (this.#frame5 ??= this.#encode(5)) : (this.#frame3 ??= this.#encode(3));
  }

  /** A copy, because the payload is a view of the buffer that was read with it. */
  packet(): BrokerPacket {
    return (this.#copy ??= { ...this.#packet, retain: false, payload: Buffer.from(this.payload) });
  }

  special(keepsRetain: boolean, identifiers: readonly number[] | undefined): BrokerPacket {
    const { properties = nothing } = this.#packet;
    return {
      ...this.packet(),
      retain: keepsRetain && this.isRetained,
      properties: identifiers ? Buffer.concat([properties, encodeIdentifiers(identifiers)]) : properties,
    };
  }

  #encode(version: Version): Frame {
    const { topic = "", properties: encoded, expirySeconds } = this.#packet as Expiring;
    const properties = version === 5 ? { encoded, expirySeconds } : undefined;
    const bytes = encodePublish({ topic, payload: this.payload, qos: 0, retain: false, properties });
    return { bytes, mayDrop: true };
  }
}

/** A message as it was published: delivered at once, it is valid for as long as it was then. */
type Expiring = BrokerPacket & { readonly expirySeconds?: number };

const nothing = Buffer.alloc(0);
