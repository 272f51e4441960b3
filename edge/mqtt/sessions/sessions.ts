import { ProtocolError } from "#shared/errors";
import type { BrokerPacket, QoS, Subscription } from "#edge/mqtt/packet";
import type { PacketRow, Store } from "#edge/store";
import { Inboxes, type Inbox } from "./inboxes.ts";
import { packetFromRow, Journal } from "./journal.ts";
import { SessionQueues, type QueueLimits } from "./session-queues.ts";
import { AedesPersistence } from "./persistence.ts";
import { Retained } from "./retained.ts";
import type { QueueEntry } from "./session-queue.ts";
import { clientIdOf, hasUser } from "./session-name.ts";
import { SessionSubscriptions } from "./session-subscriptions.ts";
import { Wills } from "./wills.ts";

export interface SessionLimits extends QueueLimits {
  /** A message was not retained: there is no room (see `Retained`). */
  readonly onNotRetained: (topic: string) => void;
  /** A session was ended to make room for a new one. */
  readonly onEvicted: (client: string) => void;
  /** The will of the connection that has the session now. */
  readonly willOf: (client: string) => BrokerPacket | undefined;
}

export interface SessionCounts {
  readonly sessions: number;
  readonly subscriptions: number;
  readonly retained: number;
  /** messages in the queues of all sessions */
  readonly queued: number;
}

/** What a publication changes on disk. */
export interface StoredPublication {
  /** Rejects when it could not be written. */
  readonly committed: Promise<void>;
  /** It is on disk: sessions may send it. */
  release(): void;
  /** The commit failed, or an earlier packet of the client did: sessions do not send it. */
  discard(): void;
}

/** Clients choose their ids: without a limit one client could fill the disk with sessions. */
const mostSessions = 10_000;

/**
 * The state of MQTT clients (MQTT 3.1.1 sections 3.1.2.4 and 4.1), in memory and in SQLite: subscriptions and queues of
 * persistent sessions, retained messages, QoS 2 handshakes and wills survive a restart. Promises resolve after the commit.
 */
export class Sessions {
  readonly #journal: Journal;
  readonly #limits: SessionLimits;
  readonly #retained: Retained;
  readonly #queues: SessionQueues;
  readonly #inboxes: Inboxes;
  readonly #wills: Wills;
  readonly #subscriptions: SessionSubscriptions;
  /** The part that aedes calls. */
  readonly persistence: AedesPersistence;
  #row = 0;

  constructor(store: Store, limits: SessionLimits) {
    this.#journal = new Journal(store);
    this.#limits = limits;
    const nextRow = (): number => (this.#row += 1);
    this.#queues = new SessionQueues(this.#journal, limits, nextRow);
    this.#inboxes = new Inboxes(this.#journal, nextRow);
    this.#wills = new Wills(this.#journal, nextRow);
    this.#retained = new Retained(this.#journal, store.mqttSessions.retained(), (topic) =>
      limits.onNotRetained(topic),
    );
    this.#subscriptions = new SessionSubscriptions(this.#journal, store.mqttSessions.subscriptions());
    this.persistence = new AedesPersistence({
      journal: this.#journal,
      queues: this.#queues,
      wills: this.#wills,
      willOf: limits.willOf,
      begin: (client) => this.#begin(client),
      end: (client) => this.#end(client),
    });
    for (const row of store.mqttSessions.packets()) this.#loadPacket(row);
  }

  /** Weight of all subscriptions, see `subscriptionWeight`. */
  get weight(): number {
    return this.#subscriptions.weight;
  }

  /** Ends sessions of anonymous clients, which cannot connect any more. */
  endAnonymous(): void {
    for (const client of this.#subscriptions.clients()) if (!hasUser(client)) this.#end(client);
    this.#journal.commitSoon();
  }

  /** Removes and returns the wills of clients that were connected when edgecore ended. */
  takeOrphanedWills(): BrokerPacket[] {
    const wills = this.#wills.takeAll();
    this.#journal.commitSoon();
    return wills;
  }

  counts(): SessionCounts {
    return {
      sessions: this.#subscriptions.sessions,
      subscriptions: this.#subscriptions.size,
      retained: this.#retained.size,
      queued: this.#queues.size,
    };
  }

  /**
   * Stores a publication, in one commit: as retained message, in the queues of persistent sessions (QoS 1 and 2), and with
   * `sender` the id of a message of QoS 2 in the inbox of its session, unless that has ended since.
   * @returns undefined when there is nothing to store
   */
  store(
    packet: BrokerPacket,
    sender?: { readonly client: string; readonly messageId: number; readonly inbox: Inbox },
  ): StoredPublication | undefined {
    const subscriptions = packet.qos > 0 ? this.#subscriptions.match(packet.topic ?? "") : [];
    if (subscriptions.length === 0 && packet.retain !== true && !sender) return undefined;
    if (packet.retain === true) this.#retained.put(packet);
    const queued = this.#queues.enqueue(
      subscriptions,
      packet.retain === true ? { ...packet, retain: false } : packet,
    );
    const isCurrent = (): boolean =>
      sender !== undefined &&
      this.#subscriptions.has(sender.client) &&
      this.#inboxes.get(sender.client) === sender.inbox;
    const row = sender && isCurrent() ? this.#inboxes.add(sender.client, sender.messageId) : undefined;
    return {
      committed: this.#journal.commit(),
      release: () => {
        for (const { entry } of queued) entry.ready = true;
        if (!sender || row === undefined) return;
        if (isCurrent()) this.#inboxes.load(sender.client, sender.messageId, row);
        else this.#journal.removePacket(row);
      },
      discard: () => {
        this.#queues.discard(queued);
        if (row !== undefined) this.#journal.retractPacket(row);
        this.#journal.commitSoon();
      },
    };
  }

  /** Stores a retained message in the queue of one session. */
  storeFor(client: string, packet: BrokerPacket, qos: QoS): StoredPublication {
    const queued = this.#queues.enqueue([{ clientId: client, topic: packet.topic ?? "", qos }], packet);
    return {
      committed: this.#journal.commit(),
      release: () => {
        for (const { entry } of queued) entry.ready = true;
      },
      discard: () => this.#queues.discard(queued),
    };
  }

  /** Retained messages that a filter covers; undefined is a pause in the search. */
  retained(filter: string): Generator<BrokerPacket | undefined> {
    return this.#retained.match(filter);
  }

  /**
   * Gives a queued message a message id to be sent under.
   * @returns undefined when it is not to be sent; otherwise `stored`, for QoS 2, which has to settle before it is sent
   */
  assign(client: string, packet: BrokerPacket, messageId: number): { stored?: Promise<void> } | undefined {
    const entry = this.#queues.assign(client, packet, messageId);
    if (!entry) return undefined;
    return entry.packet.qos === 2 ? { stored: this.#journal.commit() } : {};
  }

  /** Whether the session still has these subscriptions: it may have been ended, and begun again, meanwhile. */
  holds(client: string, topics: readonly string[]): boolean {
    const known = this.#subscriptions.find(client);
    return known !== undefined && topics.every((topic) => known.has(topic));
  }

  isInFlight(client: string, messageId: number): boolean {
    return this.#queues.get(client)?.findMessage(messageId) !== undefined;
  }

  /** How full the queue of a session is, 0 to 1; a full one drops its oldest messages. */
  fill(client: string): number {
    return this.#queues.fill(client);
  }

  /** Queued messages that were not sent yet, in order. */
  unsent(client: string): BrokerPacket[] {
    const entries = [...(this.#queues.get(client)?.entries() ?? [])];
    return entries
      .filter(({ ready, packet }) => ready && packet.messageId === undefined)
      .map(({ packet }) => packet);
  }

  /** Removes a queued message that the client may not receive. */
  refuse(client: string, packet: BrokerPacket): void {
    this.#queues.refuse(client, packet);
    this.#journal.commitSoon();
  }

  /** Ids of messages of QoS 2 received from a persistent session. */
  inbox(client: string): Inbox {
    return this.#inboxes.get(client);
  }

  /** The client has released a message of QoS 2 (PUBREL). */
  releaseIncoming(client: string, messageId: number): Promise<void> {
    this.#inboxes.release(client, messageId);
    return this.#journal.commit();
  }

  /** Subscriptions of a persistent session. */
  subscriptions(client: string): Subscription[] {
    return this.#subscriptions.list(client);
  }

  subscribe(client: string, granted: ReadonlyMap<string, QoS>): Promise<void> {
    this.#open(client);
    this.#subscriptions.add(client, granted);
    return this.#journal.commit();
  }

  unsubscribe(client: string, topics: readonly string[]): Promise<void> {
    this.#subscriptions.remove(client, topics);
    return this.#journal.commit();
  }

  #loadPacket(row: PacketRow): void {
    this.#row = Math.max(this.#row, row.id);
    const entry: QueueEntry = { row: row.id, packet: packetFromRow(row), ready: true };
    if (row.kind === "will") this.#wills.load(row.client, entry);
    else if (row.kind === "out") this.#queues.load(row.client, entry);
    else if (this.#subscriptions.has(row.client)) this.#inboxes.load(row.client, row.messageId ?? 0, row.id);
    else this.#journal.removePacket(row.id);
  }

  #begin(client: string): ReadonlyMap<string, QoS> | undefined {
    const known = this.#subscriptions.find(client);
    this.#open(client);
    this.#subscriptions.touch(client);
    return known;
  }

  /** Begins a session if there is none, and evicts the one that has been offline longest if there are too many. */
  #open(client: string): void {
    if (this.#subscriptions.has(client)) return;
    if (this.#subscriptions.sessions >= mostSessions) this.#evictOldest(client);
    this.#subscriptions.begin(client);
  }

  #evictOldest(newcomer: string): void {
    for (const client of this.#subscriptions.clients()) {
      if (this.#limits.isOnline(client)) continue;
      this.#end(client);
      this.#limits.onEvicted(client);
      return;
    }
    throw new ProtocolError(
      "too-many-sessions",
      `Cannot begin a session for ${clientIdOf(newcomer)}: all ${mostSessions} sessions are online`,
    );
  }

  #end(client: string): void {
    this.#subscriptions.end(client);
    this.#queues.end(client);
    this.#inboxes.end(client);
  }
}
