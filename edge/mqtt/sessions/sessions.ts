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
  /** A message was not retained: there are too many, or too large ones. */
  readonly onNotRetained: (topic: string) => void;
  /** A session was ended to make room for another. */
  readonly onEvicted: (client: string) => void;
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
export interface StoredPublication {
  readonly committed: Promise<void>;
  /** It is on disk: sessions may have it. */
  release(): void;
  /** The commit failed, or something it belongs to: sessions do not have it. */
  discard(): void;
}

/** A client must not fill the disk. */
const mostSessions = 10_000;

/**
 * What has to be remembered of MQTT clients, in memory and in SQLite: subscriptions and queues of lasting sessions,
 * retained messages, handshakes of QoS 2 and wills are there again after a restart. A promise resolves after the commit.
 */
export class Sessions {
  readonly #journal: Journal;
  readonly #limits: SessionLimits;
  readonly #retained: Retained;
  readonly #queues: SessionQueues;
  readonly #inboxes: Inboxes;
  readonly #wills: Wills;
  readonly #subscriptions: SessionSubscriptions;
  /** Its side that aedes sees. */
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

  /** of all subscriptions, see `weightOf` */
  get weight(): number {
    return this.#subscriptions.weight;
  }

  /** Ends sessions that nobody can come back to, because who is nobody is not let in any more. */
  endAnonymous(): void {
    for (const client of this.#subscriptions.clients()) if (!hasUser(client)) this.#end(client);
    this.#journal.commitSoon();
  }

  /** Wills of clients that were connected when edgecore ended. */
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
   * Stores what a publication leaves behind: retained, in the queues of lasting sessions (QoS 1 and 2), and, in the same
   * commit, that a lasting session has sent a message of QoS 2 (`from`), if it has not ended since.
   * @returns undefined when there is nothing to store
   */
  store(
    packet: BrokerPacket,
    from?: { readonly client: string; readonly messageId: number; readonly inbox: Inbox },
  ): StoredPublication | undefined {
    const wanted = packet.qos > 0 ? this.#subscriptions.match(packet.topic ?? "") : [];
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
  storeFor(client: string, packet: BrokerPacket, qos: QoS): StoredPublication {
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
    const known = this.#subscriptions.find(client);
    return known !== undefined && topics.every((topic) => known.has(topic));
  }

  isInFlight(client: string, messageId: number): boolean {
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

  /** What a lasting session has subscribed to. */
  subscriptions(client: string): Subscription[] {
    return this.#subscriptions.list(client);
  }

  /** On disk when it resolves. */
  subscribe(client: string, granted: ReadonlyMap<string, QoS>): Promise<void> {
    this.#open(client);
    this.#subscriptions.add(client, granted);
    return this.#journal.commit();
  }

  /** On disk when it resolves. */
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

  /** Begins a session where there is none; where there are too many in the place of the one longest away. */
  #open(client: string): void {
    if (this.#subscriptions.has(client)) return;
    if (this.#subscriptions.sessions >= mostSessions) this.#endOldest(client);
    this.#subscriptions.begin(client);
  }

  #endOldest(newcomer: string): void {
    for (const client of this.#subscriptions.clients()) {
      if (this.#limits.isOnline(client)) continue;
      this.#end(client);
      this.#limits.onEvicted(client);
      return;
    }
    throw new ProtocolError(
      "too-many-sessions",
      `Cannot keep a session of ${clientIdOf(newcomer)}: too many`,
    );
  }

  #end(client: string): void {
    this.#subscriptions.end(client);
    this.#queues.end(client);
    this.#inboxes.end(client);
  }
}
