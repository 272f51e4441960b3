import { TopicTrie } from "#shared/mqtt";
import type { Subscriber } from "#edge/mqtt/connection";
import type { OutboundBacklog, Frame, Publisher } from "#edge/mqtt/flow";
import { encodePublish, type BrokerPacket, type QoS } from "#edge/mqtt/packet";
import { subscriptionWeight } from "#edge/mqtt/sessions";

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
  readonly qos: QoS;
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
  #cache = new Map<string, readonly LiveSubscription[]>();
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
  subscribe(
    subscriber: Subscriber,
    subscriptions: Iterable<{ readonly topic: string; readonly qos: QoS }>,
  ): void {
    const known = this.#filters.get(subscriber) ?? { all: new Map<string, LiveSubscription>(), weight: 0 };
    this.#filters.set(subscriber, known);
    for (const { topic, qos } of subscriptions) {
      const before = known.all.get(topic);
      if (before) this.#trie.remove(topic, before);
      else this.#weigh(known, subscriptionWeight(topic));
      const subscription = { subscriber, qos };
      known.all.set(topic, subscription);
      this.#trie.add(topic, subscription);
    }
    this.#cache = new Map();
  }

  unsubscribe(subscriber: Subscriber, filters: Iterable<string>): void {
    const known = this.#filters.get(subscriber);
    if (!known) return;
    for (const filter of filters) {
      const subscription = known.all.get(filter);
      if (!subscription) continue;
      known.all.delete(filter);
      this.#weigh(known, -subscriptionWeight(filter));
      this.#trie.remove(filter, subscription);
    }
    if (known.all.size === 0) this.#filters.delete(subscriber);
    this.#cache = new Map();
  }

  /** The connection is closed. */
  remove(subscriber: Subscriber): void {
    this.unsubscribe(subscriber, [...(this.#filters.get(subscriber)?.all.keys() ?? [])]);
  }

  /** @param publisher is paused while it sends faster than its subscribers read */
  deliver(packet: BrokerPacket, publisher?: Publisher): void {
    const topic = packet.topic ?? "";
    const subscriptions = this.#subscriptionsTo(topic);
    if (subscriptions.length === 0) return;
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload ?? "");
    const live = packet.retain === true ? { ...packet, retain: false } : packet;
    const encoding = shareEncoding(live, payload);
    for (const { subscriber, qos } of subscriptions) {
      const granted = Math.min(qos, packet.qos);
      if (!this.#isDeliverable(subscriber, live, granted)) continue;
      this.#traffic.sent += 1;
      this.#traffic.sentBytes += payload.length;
      if (granted === 1 || granted === 2) subscriber.deliver(encoding.packet(), granted);
      else subscriber.outbound.push(encoding.frame());
      if (publisher) this.#backlog.pace(publisher, subscriber.outbound);
    }
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

  /** One subscription for each subscriber: the one with the highest QoS. */
  #subscriptionsTo(topic: string): readonly LiveSubscription[] {
    const known = this.#cache.get(topic);
    if (known) return known;
    const best = new Map<Subscriber, LiveSubscription>();
    for (const subscription of this.#trie.match(topic)) {
      const other = best.get(subscription.subscriber);
      if (!other || other.qos < subscription.qos) best.set(subscription.subscriber, subscription);
    }
    const found = [...best.values()];
    if (topic.length > longestCached) return found;
    if (this.#cache.size >= mostCached) this.#cache.clear();
    this.#cache.set(topic, found);
    return found;
  }
}

/** Encodings of a message that all its subscribers share, each made when the first one needs it. */
function shareEncoding(
  packet: BrokerPacket,
  payload: Buffer,
): { readonly frame: () => Frame; readonly packet: () => BrokerPacket } {
  let [frame, copy]: [Frame | undefined, BrokerPacket | undefined] = [undefined, undefined];
  const topic = packet.topic ?? "";
  return {
    frame: () =>
      (frame ??= { bytes: encodePublish({ topic, payload, qos: 0, retain: false }), mayDrop: true }),
    // A copy, because the payload is a view of the buffer that was read with it.
    packet: () => (copy ??= { ...packet, payload: Buffer.from(payload) }),
  };
}
