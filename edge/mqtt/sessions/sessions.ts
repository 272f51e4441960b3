import { Readable } from "node:stream";
import { ProtocolError } from "#shared/errors";
import type { BrokerPacket, QoS, Subscription } from "#edge/mqtt/packet";
import type { PacketRow, Store } from "#edge/store";
import { Inboxes, type Inbox } from "./inboxes.ts";
import { fromRow, Journal } from "./journal.ts";
import { OutQueues, type QueueLimits } from "./out-queues.ts";
import { Retained } from "./retained.ts";
import type { Entry } from "./session-queue.ts";
import { clientIdOf, hasUser } from "./session-name.ts";
import { weightOf } from "./subscription-weight.ts";
import { keyOf, WantedIndex } from "./wanted-index.ts";
import { Wills } from "./wills.ts";

interface Named {
  readonly id: string;
}

export interface SessionLimits extends QueueLimits {
  /** A message was not retained: there are too many, or too large ones. */
  readonly onNotRetained: (topic: string) => void;
  /** A session was ended to make room for another. */
  readonly onEnded: (client: string) => void;
  /** The will of the connection that has the client's name now. */
  readonly willOf: (client: string) => BrokerPacket | undefined;
}

export interface SessionCounts {
  readonly sessions: number;
  readonly subscriptions: number;
  readonly retained: number;
  /** messages that wait for sessions */
  readonly queued: number;
}

/** What a publication leaves behind, on its way to the disk. */
export interface Stored {
  readonly committed: Promise<void>;
  /** It is on disk: sessions may have it. */
  release(): void;
  /** The commit failed, or something it belongs to: sessions do not have it. */
  discard(): void;
}

/** A client must not fill the disk. */
const mostSessions = 10_000;

/**
 * A subscription each lasting session has, of a topic nobody may publish to: aedes tells by its subscriptions whether
 * there is a session, and one without any is one too.
 */
export const sessionMarker = "$SYS/session";

/**
 * What has to be remembered of MQTT clients, in memory and in SQLite: subscriptions and queues of lasting sessions,
 * retained messages, handshakes of QoS 2 and wills are there again after a restart. In part it is what aedes asks of a
 * persistence; a promise resolves after the commit.
 */
export class Sessions {
  readonly #journal: Journal;
  readonly #limits: SessionLimits;
  readonly #retained: Retained;
  readonly #queues: OutQueues;
  readonly #inboxes: Inboxes;
  readonly #wills: Wills;
  readonly #subscriptions = new Map<string, Map<string, QoS>>();
  readonly #wanted = new WantedIndex();
  /** Clients connecting now that speak MQTT 3.1. */
  readonly #old = new Set<string>();
  #row = 0;
  #weight = 0;

  constructor(store: Store, limits: SessionLimits) {
    this.#journal = new Journal(store);
    this.#limits = limits;
    const nextRow = (): number => (this.#row += 1);
    this.#queues = new OutQueues(this.#journal, limits, nextRow);
    this.#inboxes = new Inboxes(this.#journal, nextRow);
    this.#wills = new Wills(this.#journal, nextRow);
    this.#retained = new Retained(this.#journal, store.mqttSessions.retained(), (topic) =>
      limits.onNotRetained(topic),
    );
    this.#load(store);
  }

  /** of all subscriptions, see `weightOf` */
  get weight(): number {
    return this.#weight;
  }

  /** Ends sessions that nobody can come back to, because who is nobody is not let in any more. */
  endNameless(): void {
    for (const client of this.#subscriptions.keys()) if (!hasUser(client)) this.#end(client);
    this.#journal.commitSoon();
  }

  /** Wills of clients that were connected when edgecore ended. */
  takeLeftWills(): BrokerPacket[] {
    const wills = this.#wills.takeAll();
    this.#journal.commitSoon();
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
   * Stores what a publication leaves behind: retained, in the queues of lasting sessions (QoS 1 and 2), and, in the same
   * commit, that a lasting session has sent a message of QoS 2 (`from`), if it has not ended since.
   * @returns undefined when there is nothing to store
   */
  store(
    packet: BrokerPacket,
    from?: { readonly client: string; readonly messageId: number; readonly inbox: Inbox },
  ): Stored | undefined {
    const wanted = packet.qos > 0 ? this.#wanted.match(packet.topic ?? "") : [];
    if (wanted.length === 0 && packet.retain !== true && !from) return undefined;
    if (packet.retain === true) this.#retained.put(packet);
    const made = this.#queues.enqueue(wanted, packet.retain === true ? { ...packet, retain: false } : packet);
    const isThere = (): boolean =>
      from !== undefined &&
      this.#subscriptions.has(from.client) &&
      this.#inboxes.of(from.client) === from.inbox;
    const row = from && isThere() ? this.#inboxes.note(from.client, from.messageId) : undefined;
    return {
      committed: this.#journal.commit(),
      release: () => {
        for (const { entry } of made) entry.ready = true;
        if (!from || row === undefined) return;
        if (isThere()) this.#inboxes.load(from.client, from.messageId, row);
        else this.#journal.removePacket(row);
      },
      discard: () => {
        this.#queues.discard(made);
        if (row !== undefined) this.#journal.retractPacket(row);
        this.#journal.commitSoon();
      },
    };
  }

  /** Puts a retained message into the queue of one session. */
  storeFor(client: string, packet: BrokerPacket, qos: QoS): Stored {
    const made = this.#queues.enqueue([{ clientId: client, topic: packet.topic ?? "", qos }], packet);
    return {
      committed: this.#journal.commit(),
      release: () => {
        for (const { entry } of made) entry.ready = true;
      },
      discard: () => this.#queues.discard(made),
    };
  }

  /** Retained messages a filter covers; undefined says that it is time for others. */
  retained(filter: string): Generator<BrokerPacket | undefined> {
    return this.#retained.match(filter);
  }

  /**
   * A queued message goes out under this id.
   * @returns undefined when it is not to be sent; else when what has to be on disk first (QoS 2) is
   */
  assign(client: string, packet: BrokerPacket, messageId: number): { stored?: Promise<void> } | undefined {
    const entry = this.#queues.assign(client, packet, messageId);
    if (!entry) return undefined;
    return entry.packet.qos === 2 ? { stored: this.#journal.commit() } : {};
  }

  /** Whether the session is still the one whose subscriptions these are. */
  holds(client: string, topics: readonly string[]): boolean {
    const known = this.#subscriptions.get(client);
    return known !== undefined && topics.every((topic) => known.has(topic));
  }

  isUnderWay(client: string, messageId: number): boolean {
    return this.#queues.of(client)?.findMessage(messageId) !== undefined;
  }

  /** How full the queue of a session is, 0 to 1: what is over gives up the oldest. */
  fill(client: string): number {
    return this.#queues.fill(client);
  }

  /** What a session was never sent and may be, in order. */
  unsent(client: string): BrokerPacket[] {
    const entries = [...(this.#queues.of(client)?.entries() ?? [])];
    return entries
      .filter(({ ready, packet }) => ready && packet.messageId === undefined)
      .map(({ packet }) => packet);
  }

  /** The client may not have a message that waits for it. */
  refuse(client: string, packet: BrokerPacket): void {
    this.#queues.refuse(client, packet);
    this.#journal.commitSoon();
  }

  /** What a lasting session has sent with QoS 2. */
  inbox(client: string): Inbox {
    return this.#inboxes.of(client);
  }

  /** The client has released a message of QoS 2; on disk when it resolves. */
  releaseIncoming(client: string, messageId: number): Promise<void> {
    this.#inboxes.release(client, messageId);
    return this.#journal.commit();
  }

  /** The client speaks MQTT 3.1, which has no word for a session that was there. */
  speaksOld(client: string): void {
    this.#old.add(client);
  }

  /** What a lasting session has subscribed to. */
  subscriptions(client: string): Subscription[] {
    const topics = [...(this.#subscriptions.get(client) ?? [])];
    return topics.filter(([topic]) => topic !== sessionMarker).map(([topic, qos]) => ({ topic, qos }));
  }

  /** On disk when it resolves. */
  subscribe(client: string, granted: ReadonlyMap<string, QoS>): Promise<void> {
    const topics = this.#session(client);
    for (const [topic, qos] of granted) {
      this.#wanted.remove(client, topic);
      if (!topics.has(topic)) this.#weight += weightOf(topic);
      topics.set(topic, qos);
      if (qos > 0) this.#wanted.add({ clientId: client, topic, qos });
      this.#journal.add(`s${keyOf(client, topic)}`, (to) => to.putSubscription({ client, topic, qos }));
    }
    return this.#journal.commit();
  }

  /** On disk when it resolves. */
  unsubscribe(client: string, topics: readonly string[]): Promise<void> {
    this.#unsubscribe(client, topics);
    return this.#journal.commit();
  }

  async setup(): Promise<void> {
    // Nothing of the broker is needed.
  }

  /** aedes asks before the client has taken over the name: whoever has it now still needs the session. */
  async cleanSubscriptions(): Promise<void> {
    // `cleanIncoming` follows.
  }

  /** A client without a lasting session has the name now; aedes comes too when one leaves, and leaves nothing here. */
  async cleanIncoming(client: Named & { readonly closed?: boolean }): Promise<void> {
    if (client.closed === true) return;
    this.#end(client.id);
    await this.#journal.commit();
  }

  /** Asked for each client that wants a lasting session; begins one where there is none. */
  async subscriptionsByClient(client: Named): Promise<Subscription[]> {
    const old = this.#old.delete(client.id);
    const known = this.#subscriptions.get(client.id);
    const topics = this.#session(client.id);
    // Those that came last are kept longest.
    this.#subscriptions.delete(client.id);
    this.#subscriptions.set(client.id, topics);
    await this.#journal.commit();
    const hidden = known === undefined || (topics.size === 1 && old);
    return hidden ? [] : [...topics].map(([topic, qos]) => ({ topic, qos }));
  }

  async outgoingUpdate(client: Named, packet: BrokerPacket): Promise<void> {
    const { messageId } = packet;
    const isRelease = packet.cmd === "pubrel";
    if (isRelease) this.#queues.release(client.id, messageId);
    else if (messageId !== undefined) this.#queues.assign(client.id, packet, messageId);
    if (isRelease || packet.qos === 2) await this.#journal.commit();
  }

  async outgoingClearMessageId(client: Named, packet: BrokerPacket): Promise<BrokerPacket | undefined> {
    const done = this.#queues.finish(client.id, packet.messageId);
    if (done) await this.#journal.commit();
    return done;
  }

  outgoingStream(client: Named): Readable {
    const entries = [...(this.#queues.of(client.id)?.entries() ?? [])].filter(({ ready }) => ready);
    return Readable.from(
      entries.map(({ packet }) => ({
        ...packet,
        dup: packet.cmd === "publish" && packet.messageId !== undefined,
      })),
    );
  }

  /** The broker sends what is retained itself. */
  createRetainedStreamCombi(): Readable {
    return Readable.from([]);
  }

  async putWill(client: Named, packet: BrokerPacket): Promise<void> {
    this.#wills.put(client.id, packet);
    await this.#journal.commit();
  }

  /**
   * aedes asks when a connection begins (with the client itself) and when one ends: then the will on disk may be of the
   * one that took over. It leaves a rejection unheard.
   */
  async delWill(client: Named): Promise<void> {
    const stored = this.#wills.of(client.id);
    const ends = !("conn" in client);
    if (stored === undefined || (ends && this.#limits.willOf(client.id) !== stored)) return;
    this.#wills.remove(client.id);
    this.#journal.commitSoon();
  }

  /** One broker alone: the wills of others are told at start. */
  streamWill(): Readable {
    return Readable.from([]);
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
      this.#weight += weightOf(topic);
      if (granted > 0) this.#wanted.add({ clientId: client, topic, qos: granted });
    }
    for (const row of mqttSessions.packets()) this.#loadPacket(row);
  }

  #loadPacket(row: PacketRow): void {
    this.#row = Math.max(this.#row, row.id);
    const entry: Entry = { row: row.id, packet: fromRow(row), ready: true };
    if (row.kind === "will") this.#wills.load(row.client, entry);
    else if (row.kind === "out") this.#queues.load(row.client, entry);
    else if (this.#subscriptions.has(row.client)) this.#inboxes.load(row.client, row.messageId ?? 0, row.id);
    else this.#journal.removePacket(row.id);
  }

  /** The topics of a session; a new session begins, where there are too many in the place of the one longest away. */
  #session(client: string): Map<string, QoS> {
    const known = this.#subscriptions.get(client);
    if (known) return known;
    if (this.#subscriptions.size >= mostSessions) this.#endOldest(client);
    const topics = new Map<string, QoS>([[sessionMarker, 0]]);
    this.#weight += weightOf(sessionMarker);
    this.#subscriptions.set(client, topics);
    this.#journal.add(`s${keyOf(client, sessionMarker)}`, (to) =>
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
    throw new ProtocolError(
      "too-many-sessions",
      `Cannot keep a session of ${clientIdOf(newcomer)}: too many`,
    );
  }

  #end(client: string): void {
    this.#unsubscribe(client, [...(this.#subscriptions.get(client)?.keys() ?? [])]);
    this.#queues.end(client);
    this.#inboxes.end(client);
  }

  #unsubscribe(client: string, topics: readonly string[]): void {
    const known = this.#subscriptions.get(client);
    if (!known) return;
    for (const topic of topics) {
      this.#wanted.remove(client, topic);
      if (!known.delete(topic)) continue;
      this.#weight -= weightOf(topic);
      this.#journal.add(`s${keyOf(client, topic)}`, (to) => to.removeSubscription(client, topic));
    }
    if (known.size === 0) this.#subscriptions.delete(client);
  }
}
