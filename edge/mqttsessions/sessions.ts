import { Readable } from "node:stream";
import { ProtocolError } from "#shared/errors";
import type { PacketRow, Store } from "#edge/store";
import { fromRow, Journal } from "./journal.ts";
import { Retained } from "./retained.ts";
import { WantedIndex, type Wanted } from "./wanted-index.ts";
import { OutQueues, type QueueLimits } from "./out-queues.ts";
import type { BrokerPacket, Entry, QoS } from "./session-queue.ts";

interface Named {
  readonly id: string;
}

interface Subscription {
  readonly topic: string;
  readonly qos: QoS;
}

export interface SessionLimits extends QueueLimits {
  /** A message was not retained: there are too many, or too large ones. */
  readonly onNotRetained: (topic: string) => void;
  /** A session was ended to make room for another. */
  readonly onEnded: (client: string) => void;
}

export interface SessionCounts {
  readonly sessions: number;
  readonly subscriptions: number;
  readonly retained: number;
  /** messages that wait for sessions */
  readonly queued: number;
}

/** A client must not fill the disk. */
const mostSessions = 10_000;

/**
 * A subscription each lasting session has, of a topic nobody may publish to: aedes tells by its subscriptions whether
 * there is a session, and one without any is one too.
 */
export const sessionMarker = "$SYS/session";

/**
 * What aedes asks of a persistence, in memory and in SQLite: subscriptions and queues of lasting sessions, retained
 * messages, QoS 2 handshakes and wills are there again after a restart. A promise resolves after the commit.
 */
export class Sessions {
  readonly #journal: Journal;
  readonly #retained: Retained;
  readonly #limits: SessionLimits;
  readonly #subscriptions = new Map<string, Map<string, QoS>>();
  readonly #wanted = new WantedIndex();
  readonly #queues: OutQueues;
  readonly #incoming = new Map<string, Map<number, Entry>>();
  readonly #wills = new Map<string, Entry>();
  readonly #old = new Set<string>();
  #row = 0;
  /** Filters and granted QoS of the subscribe packet being answered; see `createRetainedStreamCombi`. */
  granted: readonly Subscription[] = [];
  brokerId = "";

  constructor(store: Store, limits: SessionLimits) {
    this.#journal = new Journal(store);
    this.#limits = limits;
    this.#queues = new OutQueues(this.#journal, limits, () => this.#nextRow());
    this.#retained = new Retained(this.#journal, store.mqttSessions.retained(), (topic) =>
      limits.onNotRetained(topic),
    );
    this.#load(store);
  }

  async setup(broker: { readonly id: string }): Promise<void> {
    this.brokerId = broker.id;
  }

  /** Wills of clients that were connected when edgecore ended. */
  takeLeftWills(): BrokerPacket[] {
    const wills = [...this.#wills.values()].map(({ packet }) => packet);
    for (const entry of this.#wills.values()) this.#journal.removePacket(entry);
    this.#wills.clear();
    return wills;
  }

  counts(): SessionCounts {
    let subscriptions = 0;
    for (const topics of this.#subscriptions.values()) subscriptions += topics.size - 1;
    return {
      sessions: this.#subscriptions.size,
      subscriptions,
      retained: this.#retained.size,
      queued: this.#queues.size,
    };
  }

  /**
   * Stores what a publication leaves behind: retained, and in the queues of lasting sessions (QoS 1 and 2).
   * @returns undefined when there is nothing to store, else when it is on disk
   */
  store(packet: BrokerPacket): Promise<void> | undefined {
    const wanted = packet.qos > 0 ? this.#wanted.match(packet.topic ?? "") : [];
    if (wanted.length === 0 && packet.retain !== true) return undefined;
    if (packet.retain === true) this.#retained.put(packet);
    this.#queues.enqueue(wanted, packet);
    return this.#journal.commit();
  }

  /** A queued message goes out under this id. @returns a promise when that has to be on disk first (QoS 2) */
  assign(client: string, packet: BrokerPacket, messageId: number): Promise<void> | undefined {
    return this.#queues.assign(client, packet, messageId) ? this.#journal.commit() : undefined;
  }

  isUnderWay(client: string, messageId: number): boolean {
    return this.#queues.of(client)?.findMessage(messageId) !== undefined;
  }

  /** What a session was never sent, in order. */
  unsent(client: string): BrokerPacket[] {
    return this.#queues.of(client)?.unsent() ?? [];
  }

  /** The client speaks MQTT 3.1, which has no word for a session that was there. */
  speaksOld(client: string, old: boolean): void {
    if (old) this.#old.add(client);
    else this.#old.delete(client);
  }

  /** Whether a message of QoS 2 was taken before: its repetition says nothing new. */
  hasIncoming(client: string, messageId: number | undefined): boolean {
    return this.#incoming.get(client)?.has(messageId ?? 0) ?? false;
  }

  async storeRetained(packet: BrokerPacket): Promise<void> {
    this.#retained.put(packet);
    await this.#journal.commit();
  }

  createRetainedStreamCombi(patterns: readonly string[]): Readable {
    const qosOf = new Map(this.granted.map(({ topic, qos }) => [topic, qos]));
    return Readable.from(this.#retained.match(patterns, qosOf));
  }

  createRetainedStream(pattern: string): Readable {
    return this.createRetainedStreamCombi([pattern]);
  }

  async addSubscriptions(client: Named, subs: readonly Subscription[]): Promise<void> {
    const topics = this.#session(client.id);
    for (const { topic, qos } of subs) {
      this.#wanted.remove(client.id, topic);
      topics.set(topic, qos);
      if (qos > 0) this.#wanted.add({ clientId: client.id, topic, qos });
      this.#journal.add(`s${client.id}\n${topic}`, (to) =>
        to.putSubscription({ client: client.id, topic, qos }),
      );
    }
    await this.#journal.commit();
  }

  async removeSubscriptions(client: Named, topics: readonly string[]): Promise<void> {
    this.#unsubscribe(client.id, topics);
    await this.#journal.commit();
  }

  async cleanSubscriptions(client: Named): Promise<void> {
    this.#end(client.id);
    await this.#journal.commit();
  }

  /** Asked for each client that wants a lasting session; begins one where there is none. */
  async subscriptionsByClient(client: Named): Promise<Subscription[]> {
    const known = this.#subscriptions.get(client.id);
    const topics = this.#session(client.id);
    // Those that came last are kept longest.
    this.#subscriptions.delete(client.id);
    this.#subscriptions.set(client.id, topics);
    await this.#journal.commit();
    const hidden = known === undefined || (topics.size === 1 && this.#old.has(client.id));
    return hidden ? [] : [...topics].map(([topic, qos]) => ({ topic, qos }));
  }

  async subscriptionsByTopic(topic: string): Promise<Wanted[]> {
    return this.#wanted.match(topic);
  }

  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    return { subsCount: this.#wanted.size, clientsCount: this.#subscriptions.size };
  }

  async outgoingEnqueue(sub: Wanted, packet: BrokerPacket): Promise<void> {
    return this.outgoingEnqueueCombi([sub], packet);
  }

  async outgoingEnqueueCombi(subs: readonly Wanted[], packet: BrokerPacket): Promise<void> {
    if (subs.length === 0) return;
    this.#queues.enqueue(subs, packet);
    await this.#journal.commit();
  }

  async outgoingUpdate(client: Named, packet: BrokerPacket): Promise<void> {
    const { messageId } = packet;
    const changed =
      packet.cmd === "pubrel"
        ? this.#queues.release(client.id, messageId)
        : messageId !== undefined && this.#queues.assign(client.id, packet, messageId);
    if (changed) await this.#journal.commit();
  }

  async outgoingClearMessageId(client: Named, packet: BrokerPacket): Promise<BrokerPacket | undefined> {
    const done = this.#queues.finish(client.id, packet.messageId);
    if (done) await this.#journal.commit();
    return done;
  }

  outgoingStream(client: Named): Readable {
    const entries = this.#queues.of(client.id)?.entries() ?? [];
    return Readable.from(
      entries.map(({ packet }) => ({
        ...packet,
        dup: packet.cmd === "publish" && packet.messageId !== undefined,
      })),
    );
  }

  async incomingStorePacket(client: Named, packet: BrokerPacket): Promise<void> {
    const id = packet.messageId ?? 0;
    const packets = this.#incoming.get(client.id) ?? new Map<number, Entry>();
    // That it came is all that is asked later.
    const { cmd, qos, messageId } = packet;
    const entry: Entry = { row: this.#nextRow(), packet: { cmd, qos, messageId } };
    this.#incoming.set(client.id, packets.set(id, entry));
    this.#journal.putPacket("in", client.id, entry);
    await this.#journal.commit();
  }

  async incomingGetPacket(client: Named, packet: BrokerPacket): Promise<BrokerPacket> {
    const entry = this.#incoming.get(client.id)?.get(packet.messageId ?? 0);
    if (!entry) throw new ProtocolError("no-packet", "no such packet");
    return entry.packet;
  }

  async incomingDelPacket(client: Named, packet: BrokerPacket): Promise<void> {
    const packets = this.#incoming.get(client.id);
    const entry = packets?.get(packet.messageId ?? 0);
    if (!packets || !entry) throw new ProtocolError("no-packet", "no such packet");
    packets.delete(packet.messageId ?? 0);
    if (packets.size === 0) this.#incoming.delete(client.id);
    this.#journal.removePacket(entry);
    await this.#journal.commit();
  }

  async cleanIncoming(client: Named): Promise<void> {
    for (const entry of this.#incoming.get(client.id)?.values() ?? []) this.#journal.removePacket(entry);
    this.#incoming.delete(client.id);
    await this.#journal.commit();
  }

  async putWill(client: Named, packet: BrokerPacket): Promise<void> {
    const will = Object.assign(packet, {
      cmd: "publish" as const,
      brokerId: this.brokerId,
      clientId: client.id,
      payload: Buffer.from(packet.payload ?? ""),
    });
    const entry = { row: this.#nextRow(), packet: will };
    this.#wills.set(client.id, entry);
    this.#journal.putPacket("will", client.id, entry);
    await this.#journal.commit();
  }

  async getWill(client: Named): Promise<BrokerPacket | undefined> {
    return this.#wills.get(client.id)?.packet;
  }

  async delWill(client: Named): Promise<BrokerPacket | undefined> {
    const entry = this.#wills.get(client.id);
    if (!entry) return undefined;
    this.#wills.delete(client.id);
    this.#journal.removePacket(entry);
    await this.#journal.commit();
    return entry.packet;
  }

  /** One broker alone: the wills of others are told at start. */
  streamWill(): Readable {
    return Readable.from([]);
  }

  getClientList(topic: string): Readable {
    return Readable.from(
      [...this.#subscriptions].filter(([, topics]) => topics.has(topic)).map(([id]) => id),
    );
  }

  async destroy(): Promise<void> {
    await this.#journal.commit();
  }

  #load(store: Store): void {
    const { mqttSessions } = store;
    for (const { client, topic, qos } of mqttSessions.subscriptions()) {
      const granted = qos as QoS;
      const topics = this.#subscriptions.get(client) ?? new Map<string, QoS>();
      this.#subscriptions.set(client, topics.set(topic, granted));
      if (granted > 0) this.#wanted.add({ clientId: client, topic, qos: granted });
    }
    for (const row of mqttSessions.packets()) this.#loadPacket(row);
  }

  #loadPacket(row: PacketRow): void {
    this.#row = Math.max(this.#row, row.id);
    const entry: Entry = { row: row.id, packet: fromRow(row) };
    if (row.kind === "will") this.#wills.set(row.client, entry);
    else if (row.kind === "out") this.#queues.load(row.client, entry);
    else {
      const packets = this.#incoming.get(row.client) ?? new Map<number, Entry>();
      this.#incoming.set(row.client, packets.set(row.messageId ?? 0, entry));
    }
  }

  /** The topics of a session; a new session begins, where there are too many in the place of the one longest away. */
  #session(client: string): Map<string, QoS> {
    const known = this.#subscriptions.get(client);
    if (known) return known;
    if (this.#subscriptions.size >= mostSessions) this.#endOldest(client);
    const topics = new Map<string, QoS>([[sessionMarker, 0]]);
    this.#subscriptions.set(client, topics);
    this.#journal.add(`s${client}\n${sessionMarker}`, (to) =>
      to.putSubscription({ client, topic: sessionMarker, qos: 0 }),
    );
    return topics;
  }

  #endOldest(newcomer: string): void {
    for (const client of this.#subscriptions.keys()) {
      if (this.#limits.isOnline(client)) continue;
      this.#end(client);
      this.#limits.onEnded(client);
      return;
    }
    throw new ProtocolError("too-many-sessions", `Cannot keep a session of ${newcomer}: too many`);
  }

  #end(client: string): void {
    this.#unsubscribe(client, [...(this.#subscriptions.get(client)?.keys() ?? [])]);
    this.#queues.end(client);
  }

  #unsubscribe(client: string, topics: readonly string[]): void {
    const known = this.#subscriptions.get(client);
    if (!known) return;
    for (const topic of topics) {
      this.#wanted.remove(client, topic);
      if (known.delete(topic))
        this.#journal.add(`s${client}\n${topic}`, (to) => to.removeSubscription(client, topic));
    }
    if (known.size === 0) this.#subscriptions.delete(client);
  }

  #nextRow(): number {
    this.#row += 1;
    return this.#row;
  }
}
