import type { Duplex } from "node:stream";
import { TopicTrie } from "#shared/message";
import { encodePublish } from "./encode.ts";
import { weightOf, type BrokerPacket, type QoS } from "#edge/mqttsessions";

/** Who gets messages: a connection. */
export interface Reader {
  readonly conn: Duplex;
  /** Whether it is there: what it misses else is in its queue, or was of QoS 0. */
  readonly open: () => boolean;
  /** Whether its rules let it have this topic. */
  readonly may: (topic: string) => boolean;
  /** Takes over a message of QoS 1 or 2. */
  readonly deliver: (packet: BrokerPacket, qos: 1 | 2) => void;
  /** It may not have a message of QoS 1 or 2. */
  readonly refuse: (packet: BrokerPacket) => void;
}

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
  readonly reader: Reader;
  readonly qos: QoS;
}

/** Bytes that may wait in the socket of a client that does not read, and in all of them, before it is cut off. */
const mostUnread = 8 * 1024 * 1024;
const mostUnreadInAll = 64 * 1024 * 1024;
const worthWatching = 64 * 1024;
/** Topics whose readers are remembered, long ones apart. */
const mostTopics = 20_000;
const longestTopic = 256;

/** Cuts off clients that do not read, those with most waiting first. */
export class Unread {
  readonly #slow = new Set<Duplex>();
  readonly #onCut: () => void;
  readonly #most: number;
  readonly #mostInAll: number;

  /** One message of the largest size may always wait. */
  constructor(maxPacketBytes: number, onCut: () => void) {
    this.#onCut = onCut;
    this.#most = Math.max(mostUnread, maxPacketBytes + worthWatching);
    this.#mostInAll = Math.max(mostUnreadInAll, 2 * this.#most);
  }

  /** Something was written to it. */
  check(conn: Duplex): void {
    if (conn.destroyed || conn.writableLength < worthWatching) return;
    if (conn.writableLength > this.#most) return this.#cut(conn);
    this.#slow.add(conn);
    let sum = 0;
    let slowest = conn;
    for (const other of this.#slow) {
      const { writableLength, destroyed } = other;
      if (destroyed || writableLength < worthWatching) this.#slow.delete(other);
      else sum += writableLength;
      if (writableLength > slowest.writableLength) slowest = other;
    }
    if (sum > this.#mostInAll) this.#cut(slowest);
  }

  #cut(conn: Duplex): void {
    this.#slow.delete(conn);
    conn.destroy(new Error("client does not read"));
    this.#onCut();
  }
}

interface Filters {
  readonly all: Map<string, Subscription>;
  weight: number;
}

interface Waiting {
  readonly frames: Buffer[];
  bytes: number;
}

/**
 * Brings publications to the connections that want them, once each however many of its filters match, at the highest
 * QoS granted. Of QoS 0 a message is encoded once for all, and what one turn of the event loop brings for a connection
 * is one write.
 */
export class FanOut {
  readonly #traffic: Traffic;
  readonly #unread: Unread;
  readonly #trie = new TopicTrie<Subscription>();
  readonly #filters = new Map<Reader, Filters>();
  /** Forgotten when a filter comes or goes. */
  #found = new Map<string, readonly Subscription[]>();
  #waiting = new Map<Reader, Waiting>();
  /** Whether this turn of the event loop ends with a flush. */
  #flushes = false;
  #weight = 0;

  constructor(traffic: Traffic, unread: Unread) {
    this.#traffic = traffic;
    this.#unread = unread;
  }

  get subscriptions(): number {
    return [...this.#filters.values()].reduce((sum, { all }) => sum + all.size, 0);
  }

  /** of all subscriptions, see `weightOf` */
  get weight(): number {
    return this.#weight;
  }

  /** How many filters a reader has, and what they weigh. */
  loadOf(reader: Reader): { readonly filters: number; readonly weight: number } {
    const known = this.#filters.get(reader);
    return { filters: known?.all.size ?? 0, weight: known?.weight ?? 0 };
  }

  wants(reader: Reader, filter: string): boolean {
    return this.#filters.get(reader)?.all.has(filter) === true;
  }

  join(reader: Reader, wanted: Iterable<{ readonly topic: string; readonly qos: QoS }>): void {
    const known = this.#filters.get(reader) ?? { all: new Map<string, Subscription>(), weight: 0 };
    this.#filters.set(reader, known);
    for (const { topic, qos } of wanted) {
      const before = known.all.get(topic);
      if (before) this.#trie.remove(topic, before);
      else this.#weigh(known, weightOf(topic));
      const subscription = { reader, qos };
      known.all.set(topic, subscription);
      this.#trie.add(topic, subscription);
    }
    this.#found = new Map();
  }

  leave(reader: Reader, filters: Iterable<string>): void {
    const known = this.#filters.get(reader);
    if (!known) return;
    for (const filter of filters) {
      const subscription = known.all.get(filter);
      if (!subscription) continue;
      known.all.delete(filter);
      this.#weigh(known, -weightOf(filter));
      this.#trie.remove(filter, subscription);
    }
    if (known.all.size === 0) this.#filters.delete(reader);
    this.#found = new Map();
  }

  gone(reader: Reader): void {
    this.leave(reader, [...(this.#filters.get(reader)?.all.keys() ?? [])]);
    this.#waiting.delete(reader);
  }

  deliver(packet: BrokerPacket): void {
    const topic = packet.topic ?? "";
    const subscriptions = this.#wantedBy(topic);
    if (subscriptions.length === 0) return;
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload ?? "");
    const live = packet.retain === true ? { ...packet, retain: false } : packet;
    let frame: Buffer | undefined;
    for (const { reader, qos } of subscriptions) {
      const granted = Math.min(qos, packet.qos);
      if (!this.#mayHave(reader, live, granted)) continue;
      this.#traffic.sent += 1;
      this.#traffic.sentBytes += payload.length;
      if (granted === 1 || granted === 2) {
        this.flush(reader);
        reader.deliver(live, granted);
      } else this.#queue(reader, (frame ??= encodePublish({ topic, payload, qos: 0, retain: false })));
    }
  }

  /** Writes what waits for a reader before something else is written to it. */
  flush(reader: Reader): void {
    const waiting = this.#waiting.get(reader);
    if (!waiting) return;
    this.#waiting.delete(reader);
    this.#write(reader, waiting);
  }

  #weigh(filters: Filters, change: number): void {
    filters.weight += change;
    this.#weight += change;
  }

  #mayHave(reader: Reader, packet: BrokerPacket, granted: number): boolean {
    if (!reader.open()) return false;
    const may = reader.may(packet.topic ?? "");
    if (!may && granted > 0) reader.refuse(packet);
    return may;
  }

  /** One subscription a reader: that of the highest QoS. */
  #wantedBy(topic: string): readonly Subscription[] {
    const known = this.#found.get(topic);
    if (known) return known;
    const best = new Map<Reader, Subscription>();
    for (const subscription of this.#trie.match(topic)) {
      const other = best.get(subscription.reader);
      if (!other || other.qos < subscription.qos) best.set(subscription.reader, subscription);
    }
    const found = [...best.values()];
    if (topic.length > longestTopic) return found;
    if (this.#found.size >= mostTopics) this.#found.clear();
    this.#found.set(topic, found);
    return found;
  }

  #queue(reader: Reader, frame: Buffer): void {
    if (!this.#flushes) setImmediate(() => this.#flushAll());
    this.#flushes = true;
    const waiting = this.#waiting.get(reader);
    if (!waiting) {
      this.#waiting.set(reader, { frames: [frame], bytes: frame.length });
      return;
    }
    waiting.frames.push(frame);
    waiting.bytes += frame.length;
  }

  #flushAll(): void {
    this.#flushes = false;
    const all = this.#waiting;
    this.#waiting = new Map();
    for (const [reader, waiting] of all) this.#write(reader, waiting);
  }

  #write({ conn }: Reader, { frames, bytes }: Waiting): void {
    if (conn.destroyed) return;
    conn.write(frames.length === 1 ? frames[0] : Buffer.concat(frames, bytes));
    this.#unread.check(conn);
  }
}
