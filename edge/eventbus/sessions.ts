import { Readable } from "node:stream";
import { ProtocolError } from "#shared/errors";
import { topicMatches, TopicTrie } from "#shared/message";
import type { PacketRow, Store } from "#edge/store";
import { Journal } from "./journal.ts";
import { SessionQueue, type BrokerPacket, type Entry } from "./session-queue.ts";

interface Named {
  readonly id: string;
}

interface Subscription {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
}

interface Wanted {
  readonly clientId: string;
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
}

export interface SessionLimits {
  /** messages kept for a client that is away */
  readonly queueSize: number;
  readonly isOnline: (client: string) => boolean;
  readonly onDropped: (client: string) => void;
}

/** Sessions, retained topics and packets in flight are bounded: a client must not fill the disk. */
const mostSessions = 10_000;
const mostRetained = 100_000;
const mostInFlight = 50_000;

/**
 * What aedes asks of a persistence, in memory and in SQLite: subscriptions and queues of lasting sessions, retained
 * messages, QoS 2 handshakes and wills are there again after a restart. A promise resolves after the commit.
 */
export class Sessions {
  readonly #journal: Journal;
  readonly #limits: SessionLimits;
  readonly #subscriptions = new Map<string, Map<string, 0 | 1 | 2>>();
  readonly #trie = new TopicTrie<Wanted>();
  readonly #wanted = new Map<string, Wanted>();
  readonly #queues = new Map<string, SessionQueue>();
  readonly #incoming = new Map<string, Map<number, Entry>>();
  readonly #retained = new Map<string, BrokerPacket>();
  readonly #wills = new Map<string, Entry>();
  readonly #ahead = new Set<number>();
  #row = 0;
  /** Filters and granted QoS of the subscribe packet being answered; see `createRetainedStreamCombi`. */
  granted: readonly Subscription[] = [];
  brokerId = "";

  constructor(store: Store, limits: SessionLimits) {
    this.#journal = new Journal(store);
    this.#limits = limits;
    this.#load(store);
  }

  async setup(broker: { readonly id: string }): Promise<void> {
    this.brokerId = broker.id;
  }

  /** Wills of clients that were connected when edgecore ended. */
  takeLeftWills(): BrokerPacket[] {
    const wills = [...this.#wills.values()].map(({ packet }) => packet);
    for (const entry of this.#wills.values()) this.#forget(entry);
    this.#wills.clear();
    return wills;
  }

  counts(): { readonly sessions: number; readonly subscriptions: number; readonly retained: number } {
    const subscriptions = [...this.#subscriptions.values()].reduce((sum, topics) => sum + topics.size, 0);
    return { sessions: this.#subscriptions.size, subscriptions, retained: this.#retained.size };
  }

  commit(): Promise<void> {
    return this.#journal.commit();
  }

  /**
   * Stores what a publication of QoS 1 leaves behind before it is acknowledged; aedes itself acknowledges first.
   * @returns undefined when there is nothing to store
   */
  storeAhead(packet: BrokerPacket): Promise<void> | undefined {
    const wanted = this.#match(packet.topic ?? "");
    if (wanted.length === 0 && packet.retain !== true) return undefined;
    if (packet.retain === true) this.#retain(packet);
    for (const sub of wanted) this.#enqueue(sub, packet);
    if (packet.brokerCounter !== undefined) this.#ahead.add(packet.brokerCounter);
    return this.#journal.commit();
  }

  async storeRetained(packet: BrokerPacket): Promise<void> {
    if (packet.brokerCounter !== undefined && this.#ahead.has(packet.brokerCounter)) return;
    this.#retain(packet);
    await this.#journal.commit();
  }

  createRetainedStreamCombi(patterns: readonly string[]): Readable {
    const qosOf = new Map(this.granted.map(({ topic, qos }) => [topic, qos]));
    return Readable.from(this.#retainedOf(patterns, qosOf));
  }

  createRetainedStream(pattern: string): Readable {
    return this.createRetainedStreamCombi([pattern]);
  }

  async addSubscriptions(client: Named, subs: readonly Subscription[]): Promise<void> {
    const known = this.#subscriptions.get(client.id);
    if (!known && this.#subscriptions.size >= mostSessions)
      throw new ProtocolError("too-many-sessions", `Cannot keep a session of ${client.id}: too many`);
    const topics = known ?? new Map<string, 0 | 1 | 2>();
    this.#subscriptions.set(client.id, topics);
    for (const { topic, qos } of subs) {
      this.#unwant(client.id, topic);
      topics.set(topic, qos);
      if (qos > 0) this.#want({ clientId: client.id, topic, qos });
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
    this.#unsubscribe(client.id, [...(this.#subscriptions.get(client.id)?.keys() ?? [])]);
    const queue = this.#queues.get(client.id);
    for (const entry of queue?.entries() ?? []) this.#forget(entry);
    this.#queues.delete(client.id);
    await this.#journal.commit();
  }

  async subscriptionsByClient(client: Named): Promise<Subscription[]> {
    return [...(this.#subscriptions.get(client.id) ?? [])].map(([topic, qos]) => ({ topic, qos }));
  }

  async subscriptionsByTopic(topic: string): Promise<Wanted[]> {
    return this.#match(topic);
  }

  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    return { subsCount: this.#wanted.size, clientsCount: this.#subscriptions.size };
  }

  async outgoingEnqueue(sub: Wanted, packet: BrokerPacket): Promise<void> {
    return this.outgoingEnqueueCombi([sub], packet);
  }

  async outgoingEnqueueCombi(subs: readonly Wanted[], packet: BrokerPacket): Promise<void> {
    if (packet.brokerCounter !== undefined && this.#ahead.delete(packet.brokerCounter)) return;
    if (subs.length === 0) return;
    for (const sub of subs) this.#enqueue(sub, packet);
    await this.#journal.commit();
  }

  async outgoingUpdate(client: Named, packet: BrokerPacket): Promise<void> {
    const queue = this.#queues.get(client.id);
    const entry = packet.cmd === "pubrel" ? queue?.findMessage(packet.messageId) : queue?.findPacket(packet);
    if (!queue || !entry) return;
    if (packet.cmd === "pubrel") entry.packet = { ...entry.packet, cmd: "pubrel" };
    else queue.number(entry, packet.messageId);
    if (entry.packet.qos < 2) return;
    this.#write("out", client.id, entry);
    await this.#journal.commit();
  }

  async outgoingClearMessageId(client: Named, packet: BrokerPacket): Promise<BrokerPacket | undefined> {
    const queue = this.#queues.get(client.id);
    const entry = queue?.findMessage(packet.messageId);
    if (!queue || !entry) return undefined;
    queue.remove(entry);
    this.#forget(entry);
    await this.#journal.commit();
    return entry.packet;
  }

  outgoingStream(client: Named): Readable {
    const entries = this.#queues.get(client.id)?.entries() ?? [];
    return Readable.from(entries.map(({ packet }) => ({ ...packet, dup: packet.messageId !== undefined })));
  }

  async incomingStorePacket(client: Named, packet: BrokerPacket): Promise<void> {
    const id = packet.messageId ?? 0;
    const packets = this.#incoming.get(client.id) ?? new Map<number, Entry>();
    const entry: Entry = { row: this.#nextRow(), packet: { ...packet } };
    this.#incoming.set(client.id, packets.set(id, entry));
    this.#write("in", client.id, entry);
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
    this.#forget(entry);
    await this.#journal.commit();
  }

  async cleanIncoming(client: Named): Promise<void> {
    for (const entry of this.#incoming.get(client.id)?.values() ?? []) this.#forget(entry);
    this.#incoming.delete(client.id);
    await this.#journal.commit();
  }

  async putWill(client: Named, packet: BrokerPacket): Promise<void> {
    const will = Object.assign(packet, {
      cmd: "publish" as const,
      brokerId: this.brokerId,
      clientId: client.id,
    });
    const entry = { row: this.#nextRow(), packet: will };
    this.#wills.set(client.id, entry);
    this.#write("will", client.id, entry);
    await this.#journal.commit();
  }

  async getWill(client: Named): Promise<BrokerPacket | undefined> {
    return this.#wills.get(client.id)?.packet;
  }

  async delWill(client: Named): Promise<BrokerPacket | undefined> {
    const entry = this.#wills.get(client.id);
    if (!entry) return undefined;
    this.#wills.delete(client.id);
    this.#forget(entry);
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
      const granted = qos as 0 | 1 | 2;
      const topics = this.#subscriptions.get(client) ?? new Map<string, 0 | 1 | 2>();
      this.#subscriptions.set(client, topics.set(topic, granted));
      if (granted > 0) this.#want({ clientId: client, topic, qos: granted });
    }
    for (const { topic, qos, payload } of mqttSessions.retained())
      this.#retained.set(topic, {
        cmd: "publish",
        topic,
        qos: qos as 0 | 1 | 2,
        retain: true,
        payload: Buffer.from(payload),
      });
    for (const row of mqttSessions.packets()) this.#loadPacket(row);
  }

  #loadPacket(row: PacketRow): void {
    this.#row = Math.max(this.#row, row.id);
    const entry: Entry = { row: row.id, packet: fromRow(row) };
    if (row.kind === "will") this.#wills.set(row.client, entry);
    else if (row.kind === "out") this.#queue(row.client).add(entry);
    else {
      const packets = this.#incoming.get(row.client) ?? new Map<number, Entry>();
      this.#incoming.set(row.client, packets.set(row.messageId ?? 0, entry));
    }
  }

  #match(topic: string): Wanted[] {
    if (this.#wanted.size === 0) return [];
    const best = new Map<string, Wanted>();
    for (const sub of this.#trie.match(topic))
      if ((best.get(sub.clientId)?.qos ?? 0) < sub.qos) best.set(sub.clientId, sub);
    return [...best.values()];
  }

  #enqueue(sub: Wanted, packet: BrokerPacket): void {
    const queue = this.#queue(sub.clientId);
    if (queue.findPacket(packet)) return;
    const limit = this.#limits.isOnline(sub.clientId) ? mostInFlight : this.#limits.queueSize;
    if (queue.size >= limit) this.#dropOldest(sub.clientId, queue);
    const qos = Math.min(sub.qos, packet.qos) as 0 | 1 | 2;
    const { topic = "", payload = "", brokerId = "", brokerCounter = 0 } = packet;
    const kept: BrokerPacket = {
      cmd: "publish",
      topic,
      payload,
      qos,
      retain: false,
      brokerId,
      brokerCounter,
    };
    const entry = { row: this.#nextRow(), packet: kept };
    queue.add(entry);
    this.#write("out", sub.clientId, entry);
  }

  #dropOldest(client: string, queue: SessionQueue): void {
    const oldest = queue.oldest();
    if (!oldest) return;
    queue.remove(oldest);
    this.#forget(oldest);
    this.#limits.onDropped(client);
  }

  #queue(client: string): SessionQueue {
    const queue = this.#queues.get(client) ?? new SessionQueue();
    this.#queues.set(client, queue);
    return queue;
  }

  #retain(packet: BrokerPacket): void {
    const { topic = "", qos } = packet;
    const payload = Buffer.from(packet.payload ?? "");
    const durable = !topic.startsWith("$SYS/");
    if (payload.length === 0) {
      this.#retained.delete(topic);
      if (durable) this.#journal.add(`r${topic}`, (to) => to.removeRetained(topic));
      return;
    }
    if (!this.#retained.has(topic) && this.#retained.size >= mostRetained) return;
    this.#retained.set(topic, { cmd: "publish", topic, qos, retain: true, payload });
    if (durable) this.#journal.add(`r${topic}`, (to) => to.putRetained({ topic, qos, payload }));
  }

  *#retainedOf(patterns: readonly string[], qosOf: ReadonlyMap<string, number>): Generator<BrokerPacket> {
    for (const pattern of patterns) {
      const most = qosOf.get(pattern) ?? 2;
      const exact = this.#retained.get(pattern);
      if (!/[+#]/.test(pattern)) {
        if (exact) yield { ...exact, qos: Math.min(exact.qos, most) as 0 | 1 | 2 };
        continue;
      }
      for (const [topic, packet] of this.#retained)
        if (topicMatches(pattern, topic)) yield { ...packet, qos: Math.min(packet.qos, most) as 0 | 1 | 2 };
    }
  }

  #want(sub: Wanted): void {
    this.#wanted.set(`${sub.clientId}\n${sub.topic}`, sub);
    this.#trie.add(sub.topic, sub);
  }

  #unwant(client: string, topic: string): void {
    const sub = this.#wanted.get(`${client}\n${topic}`);
    if (!sub) return;
    this.#wanted.delete(`${client}\n${topic}`);
    this.#trie.remove(topic, sub);
  }

  #unsubscribe(client: string, topics: readonly string[]): void {
    const known = this.#subscriptions.get(client);
    if (!known) return;
    for (const topic of topics) {
      this.#unwant(client, topic);
      if (known.delete(topic))
        this.#journal.add(`s${client}\n${topic}`, (to) => to.removeSubscription(client, topic));
    }
    if (known.size === 0) this.#subscriptions.delete(client);
  }

  #nextRow(): number {
    this.#row += 1;
    return this.#row;
  }

  #write(kind: PacketRow["kind"], client: string, { row, packet }: Entry): void {
    this.#journal.add(`p${row}`, (to) => to.putPacket(toRow(kind, client, { row, packet })));
  }

  #forget({ row }: Entry): void {
    this.#journal.add(`p${row}`, (to) => to.removePacket(row));
  }
}

function toRow(kind: PacketRow["kind"], client: string, { row, packet }: Entry): PacketRow {
  const { cmd, topic = null, qos, retain = false, messageId = null, payload } = packet;
  return {
    id: row,
    client,
    kind,
    messageId,
    cmd,
    topic,
    qos,
    retain: Number(retain),
    payload: payload === undefined ? null : Buffer.from(payload),
  };
}

/** Packets of an earlier run get an identity of their own: broker counters start anew. */
function fromRow(row: PacketRow): BrokerPacket {
  return {
    cmd: row.cmd === "pubrel" ? "pubrel" : "publish",
    topic: row.topic ?? "",
    payload: Buffer.from(row.payload ?? []),
    qos: row.qos as 0 | 1 | 2,
    retain: row.retain !== 0,
    messageId: row.messageId ?? undefined,
    brokerId: "stored",
    brokerCounter: row.id,
  };
}
