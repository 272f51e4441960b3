import { TopicTrie } from "#shared/mqtt";
import type { Subscriber } from "#edge/mqtt/connection";
import type { OutboundBacklog, Frame, Publisher } from "#edge/mqtt/flow";
import { encodePublish, type BrokerPacket, type QoS } from "#edge/mqtt/packet";
import { weightOf } from "#edge/mqtt/sessions";

export interface Traffic {
  /** publications that came from clients */
  received: number;
  receivedBytes: number;
  /** publications that went to clients */
  sent: number;
  sentBytes: number;
  /** messages given up because sessions had too many */
  dropped: number;
}

interface Subscription {
  readonly subscriber: Subscriber;
  readonly qos: QoS;
}

/** Topics whose readers are remembered, long ones apart. */
const mostTopics = 20_000;
const longestTopic = 256;

interface Filters {
  readonly all: Map<string, Subscription>;
  weight: number;
}

/**
 * Brings publications to the connections that want them, once each however many of its filters match, at the highest
 * QoS granted. Of QoS 0 a message is encoded once for all.
 */
export class FanOut {
  readonly #traffic: Traffic;
  readonly #backlog: OutboundBacklog;
  readonly #trie = new TopicTrie<Subscription>();
  readonly #filters = new Map<Subscriber, Filters>();
  /** Forgotten when a filter comes or goes. */
  #found = new Map<string, readonly Subscription[]>();
  #weight = 0;

  constructor(traffic: Traffic, backlog: OutboundBacklog) {
    this.#traffic = traffic;
    this.#backlog = backlog;
  }

  get subscriptions(): number {
    return [...this.#filters.values()].reduce((sum, { all }) => sum + all.size, 0);
  }

  /** of all subscriptions, see `weightOf` */
  get weight(): number {
    return this.#weight;
  }

  /** How many filters a subscriber has, and what they weigh. */
  loadOf(subscriber: Subscriber): { readonly filters: number; readonly weight: number } {
    const known = this.#filters.get(subscriber);
    return { filters: known?.all.size ?? 0, weight: known?.weight ?? 0 };
  }

  wants(subscriber: Subscriber, filter: string): boolean {
    return this.#filters.get(subscriber)?.all.has(filter) === true;
  }

  join(subscriber: Subscriber, wanted: Iterable<{ readonly topic: string; readonly qos: QoS }>): void {
    const known = this.#filters.get(subscriber) ?? { all: new Map<string, Subscription>(), weight: 0 };
    this.#filters.set(subscriber, known);
    for (const { topic, qos } of wanted) {
      const before = known.all.get(topic);
      if (before) this.#trie.remove(topic, before);
      else this.#weigh(known, weightOf(topic));
      const subscription = { subscriber, qos };
      known.all.set(topic, subscription);
      this.#trie.add(topic, subscription);
    }
    this.#found = new Map();
  }

  leave(subscriber: Subscriber, filters: Iterable<string>): void {
    const known = this.#filters.get(subscriber);
    if (!known) return;
    for (const filter of filters) {
      const subscription = known.all.get(filter);
      if (!subscription) continue;
      known.all.delete(filter);
      this.#weigh(known, -weightOf(filter));
      this.#trie.remove(filter, subscription);
    }
    if (known.all.size === 0) this.#filters.delete(subscriber);
    this.#found = new Map();
  }

  gone(subscriber: Subscriber): void {
    this.leave(subscriber, [...(this.#filters.get(subscriber)?.all.keys() ?? [])]);
  }

  /** `publisher`: who may be paused while it goes on faster than those who get the message. */
  deliver(packet: BrokerPacket, publisher?: Publisher): void {
    const topic = packet.topic ?? "";
    const subscriptions = this.#wantedBy(topic);
    if (subscriptions.length === 0) return;
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload ?? "");
    const live = packet.retain === true ? { ...packet, retain: false } : packet;
    const make = once(live, payload);
    for (const { subscriber, qos } of subscriptions) {
      const granted = Math.min(qos, packet.qos);
      if (!this.#mayHave(subscriber, live, granted)) continue;
      this.#traffic.sent += 1;
      this.#traffic.sentBytes += payload.length;
      if (granted === 1 || granted === 2) subscriber.deliver(make.packet(), granted);
      else subscriber.outbound.push(make.frame());
      if (publisher) this.#backlog.pace(publisher, subscriber.outbound);
    }
  }

  #weigh(filters: Filters, change: number): void {
    filters.weight += change;
    this.#weight += change;
  }

  #mayHave(subscriber: Subscriber, packet: BrokerPacket, granted: number): boolean {
    if (!subscriber.open()) return false;
    const may = subscriber.may(packet.topic ?? "");
    if (!may && granted > 0) subscriber.refuse(packet);
    return may;
  }

  /** One subscription a subscriber: that of the highest QoS. */
  #wantedBy(topic: string): readonly Subscription[] {
    const known = this.#found.get(topic);
    if (known) return known;
    const best = new Map<Subscriber, Subscription>();
    for (const subscription of this.#trie.match(topic)) {
      const other = best.get(subscription.subscriber);
      if (!other || other.qos < subscription.qos) best.set(subscription.subscriber, subscription);
    }
    const found = [...best.values()];
    if (topic.length > longestTopic) return found;
    if (this.#found.size >= mostTopics) this.#found.clear();
    this.#found.set(topic, found);
    return found;
  }
}

/** What all readers of a message share. */
function once(
  packet: BrokerPacket,
  payload: Buffer,
): { readonly frame: () => Frame; readonly packet: () => BrokerPacket } {
  let [frame, own]: [Frame | undefined, BrokerPacket | undefined] = [undefined, undefined];
  const topic = packet.topic ?? "";
  return {
    frame: () =>
      (frame ??= { bytes: encodePublish({ topic, payload, qos: 0, retain: false }), mayDrop: true }),
    // As it came, the payload holds on to all that was read with it.
    packet: () => (own ??= { ...packet, payload: Buffer.from(payload) }),
  };
}
