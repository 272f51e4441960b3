import { ProtocolError } from "#shared/errors";
import type { BrokerPacket, Subscription } from "#edge/mqtt/packet";
import {
  BrokerClock,
  clientIdOf,
  Deadlines,
  hasUser,
  Inboxes,
  Journal,
  Lifetimes,
  packetFromRow,
  Retained,
  willFromRow,
  Wills,
  type Inbox,
} from "#edge/mqtt/stored";
import type { PacketRow, Store } from "#edge/store";
import type {
  SessionBegun,
  SessionCounts,
  SessionEnd,
  SessionLimits,
  SessionStart,
  StoredPublication,
  StoreOptions,
} from "./session-parts.ts";
import type { QueueEntry } from "./session-queue.ts";
import { SessionQueues } from "./session-queues.ts";
import { SessionSubscriptions } from "./session-subscriptions.ts";
import { joinTarget, type SessionTarget } from "./subscription-index.ts";

/** Clients choose their ids: without a limit one client could fill the disk with sessions. */
const mostSessions = 10_000;

/**
 * The state of MQTT clients (MQTT 3.1.1 sections 3.1.2.4 and 4.1), in memory and in SQLite: subscriptions and queues of
 * persistent sessions, retained messages, QoS 2 handshakes and wills survive a restart. Promises resolve after the commit.
 */
export class Sessions {
  readonly #journal: Journal;
  readonly #limits: SessionLimits;
  readonly #clock: BrokerClock;
  readonly #deadlines: Deadlines;
  readonly #lifetimes: Lifetimes;
  readonly #retained: Retained;
  readonly #queues: SessionQueues;
  readonly #inboxes: Inboxes;
  readonly #wills: Wills;
  readonly #subscriptions: SessionSubscriptions;
  #row = 0;

  constructor(store: Store, limits: SessionLimits) {
    const { mqttSessions } = store;
    this.#journal = new Journal(store);
    this.#limits = limits;
    const nextRow = (): number => (this.#row += 1);
    const clock = new BrokerClock(limits.clock, {
      journal: this.#journal,
      store: mqttSessions,
      isNeeded: () => this.#deadlines.isWaiting || this.#queues.expires,
    });
    const deadlines = new Deadlines(
      limits.clock,
      () => clock.nowMs(),
      () => this.#expire(),
    );
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.#queues = new SessionQueues(this.#journal, limits, { nextRow, clock });
    this.#inboxes = new Inboxes(this.#journal, nextRow);
    this.#wills = new Wills(this.#journal, nextRow, deadlines);
    this.#retained = new Retained(this.#journal, mqttSessions.retained(), {
      clock,
      deadlines,
      onRefused: (topic) => limits.onNotRetained(topic),
    });
    this.#subscriptions = new SessionSubscriptions(this.#journal, mqttSessions.subscriptions());
    this.#lifetimes = new Lifetimes(this.#journal, mqttSessions.sessions(), { clock, deadlines });
    for (const row of mqttSessions.packets()) this.#loadPacket(row);
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

  /** Publishes the wills of clients that were connected when edgecore ended, or has them wait for their delay. */
  releaseOrphanedWills(): void {
    for (const [client, delaySeconds] of this.#wills.orphaned()) this.#orphan(client, delaySeconds);
    this.#expire();
  }

  /** Writes what is not on disk yet. */
  async close(): Promise<void> {
    this.#clock.end();
    this.#deadlines.end();
    await this.#journal.commit();
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
   * @param options.shared sessions that get it for their group
   * @returns undefined when there is nothing to store
   */
  store(packet: BrokerPacket, { sender, shared }: StoreOptions = {}): StoredPublication | undefined {
    const targets = packet.qos > 0 ? this.#targets(packet, shared) : [];
    if (targets.length === 0 && packet.retain !== true && !sender) return undefined;
    if (packet.retain === true) this.#retained.put(packet);
    const queued = this.#queues.enqueue(targets, packet);
    const isCurrent = (): boolean =>
      sender !== undefined &&
      this.#subscriptions.has(sender.client) &&
      this.#inboxes.get(sender.client) === sender.inbox;
    const row = sender && isCurrent() ? this.#inboxes.add(sender.client, sender.messageId) : undefined;
    return {
      sessions: targets.length,
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
  storeFor(target: SessionTarget, packet: BrokerPacket): StoredPublication {
    const queued = this.#queues.enqueue([target], packet);
    return {
      sessions: 1,
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
   * @returns undefined when it is not to be sent; otherwise the message as it is queued, and `stored`, for QoS 2, which has
   * to settle before it is sent
   */
  assign(
    client: string,
    packet: BrokerPacket,
    messageId: number,
  ): { readonly packet: BrokerPacket; readonly stored?: Promise<void> } | undefined {
    const entry = this.#queues.assign(client, packet, messageId);
    if (!entry) return undefined;
    return entry.packet.qos === 2
      ? { packet: entry.packet, stored: this.#journal.commit() }
      : { packet: entry.packet };
  }

  /** The client has received a message of QoS 2 (PUBREC). @returns when that is on disk, and whether it was queued */
  async release(client: string, messageId: number): Promise<boolean> {
    const isKnown = this.#queues.release(client, messageId);
    await this.#journal.commit();
    return isKnown;
  }

  /** A message is acknowledged, or not to be sent. @returns whether it was queued */
  finish(client: string, messageId: number): boolean {
    const isKnown = this.#queues.finish(client, messageId) !== undefined;
    this.#journal.commitSoon();
    return isKnown;
  }

  /** Messages and PUBRELs in flight, in order. */
  inFlight(client: string): BrokerPacket[] {
    const entries = [...(this.#queues.get(client)?.entries() ?? [])];
    return entries
      .filter(({ ready, packet }) => ready && packet.messageId !== undefined)
      .map(({ packet }) => packet);
  }

  /** Seconds until a message expires, rounded up; 0 when it has. */
  secondsUntil(atMs: number): number {
    return this.#clock.secondsUntil(atMs);
  }

  /** When a message expires that is valid for some seconds from now on. */
  expiryAfter(seconds: number): number {
    return this.#clock.nowMs() + seconds * 1000;
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

  /** All persistent sessions. */
  names(): IterableIterator<string> {
    return this.#subscriptions.clients();
  }

  /** @returns whether there is a session */
  has(client: string): boolean {
    if (this.#lifetimes.isOver(client)) this.#end(client);
    return this.#subscriptions.has(client);
  }

  subscribe(client: string, subscriptions: readonly Subscription[]): Promise<void> {
    this.#open(client);
    this.#subscriptions.add(client, subscriptions);
    return this.#journal.commit();
  }

  unsubscribe(client: string, topics: readonly string[]): Promise<void> {
    this.#subscriptions.remove(client, topics);
    return this.#journal.commit();
  }

  /**
   * A client connects: begins its session, unless there is one, and keeps its will. With `clean` the session before ends,
   * and none is begun if it is to end with the connection.
   * @returns whether there was a session, and whether there is one now, with the commit
   * @throws ProtocolError when there are too many sessions
   */
  begin(client: string, { clean, expiry, will }: SessionStart): SessionBegun {
    const present = this.has(client) && !clean;
    if (clean) this.end(client);
    // The client is back before its will was due (MQTT 5 section 3.1.3.2.2).
    this.#wills.remove(client);
    const kept = present || expiry !== 0;
    if (kept) {
      this.#open(client);
      this.#subscriptions.touch(client);
      this.#lifetimes.hold(client, expiry);
    }
    if (will) this.#wills.put(client, will);
    return { present, kept, committed: this.#journal.commit() };
  }

  /** A connection has ended: its session ends now or some time later, and its will is published, unless `will` is false. */
  leave(client: string, { kept, expiry, will }: SessionEnd): void {
    const delay = this.#wills.delayOf(client);
    if (!will) this.#wills.remove(client);
    else if (delay === 0 || !kept || expiry === 0) this.#publishWill(client);
    else this.#wills.delay(client, this.expiryAfter(Math.min(delay, expiry ?? delay)));
    if (kept && expiry === 0) this.#end(client);
    else if (kept) this.#lifetimes.leave(client, expiry);
    this.#journal.commitSoon();
  }

  /** Ends a session, if there is one. */
  end(client: string): void {
    if (this.#subscriptions.has(client)) this.#end(client);
    else if (this.#wills.isWaiting(client)) this.#publishWill(client);
  }

  #targets(packet: BrokerPacket, shared: readonly SessionTarget[] | undefined): readonly SessionTarget[] {
    const targets = this.#subscriptions.match(packet.topic ?? "", packet.origin);
    if (!shared || shared.length === 0) return targets;
    const all = new Map(targets.map((target) => [target.client, target]));
    for (const target of shared)
      if (target.qos > 0 && this.#subscriptions.has(target.client))
        all.set(target.client, joinTarget(all.get(target.client), target));
    return [...all.values()];
  }

  #expire(): void {
    const nowMs = this.#clock.nowMs();
    for (const client of this.#lifetimes.due()) this.#end(client);
    for (const client of this.#wills.due(nowMs)) this.#publishWill(client);
    this.#retained.expire();
    this.#clock.note();
    this.#journal.commitSoon();
  }

  #orphan(client: string, delaySeconds: number): void {
    const isKept = this.#subscriptions.has(client) && !this.#lifetimes.isOver(client);
    if (delaySeconds === 0 || !isKept) this.#publishWill(client);
    else this.#wills.delay(client, this.expiryAfter(delaySeconds));
  }

  #publishWill(client: string): void {
    const will = this.#wills.take(client);
    if (will) this.#limits.onWill(will);
  }

  #loadPacket(row: PacketRow): void {
    this.#row = Math.max(this.#row, row.id);
    if (row.kind === "will") {
      const will = { row: row.id, packet: willFromRow(row), dueAtMs: row.due ?? undefined };
      this.#wills.load(row.client, will);
      return;
    }
    const entry: QueueEntry = { row: row.id, packet: packetFromRow(row), ready: true };
    if (row.kind === "out") this.#queues.load(row.client, entry);
    else if (this.#subscriptions.has(row.client)) this.#inboxes.load(row.client, row.messageId ?? 0, row.id);
    else this.#journal.removePacket(row.id);
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
    const topics = this.#subscriptions.list(client).map(({ topic }) => topic);
    this.#subscriptions.end(client);
    this.#queues.end(client);
    this.#inboxes.end(client);
    this.#lifetimes.remove(client);
    this.#limits.onEnded(client, topics);
    if (this.#wills.isWaiting(client)) this.#publishWill(client);
  }
}
