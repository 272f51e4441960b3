import { parseQos, parseShared, type Subscription } from "#edge/mqtt/packet";
import type { Journal } from "#edge/mqtt/stored";
import type { SubscriptionRow } from "#edge/store";
import { subscriptionKey, SubscriptionIndex, type SessionTarget } from "./subscription-index.ts";

/** A subscription of every persistent session, to a topic that no client may use: a session may have no other. */
export const sessionMarker = "$SYS/session";

/** Measured bytes of memory of a subscription, for each of its levels and for each character. */
const baseWeight = 400;
const levelWeight = 64;
const characterWeight = 2;

/** About the bytes of memory that a subscription takes: levels matter more than text, each is a node of a trie. */
export function subscriptionWeight(filter: string): number {
  let levels = 1;
  for (let slash = filter.indexOf("/"); slash !== -1; slash = filter.indexOf("/", slash + 1)) levels += 1;
  return baseWeight + levelWeight * levels + characterWeight * filter.length;
}

/** Persistent sessions and their subscriptions, in memory and, with the journal's next commit, on disk. */
export class SessionSubscriptions {
  readonly #journal: Journal;
  /** Sessions in the order in which their clients last connected. */
  readonly #bySession = new Map<string, Map<string, Subscription>>();
  readonly #index = new SubscriptionIndex();
  #weight = 0;

  constructor(journal: Journal, rows: Iterable<SubscriptionRow>) {
    this.#journal = journal;
    for (const row of rows) this.#load(row.client, subscriptionOf(row));
  }

  /** Weight of all subscriptions, see `subscriptionWeight`. */
  get weight(): number {
    return this.#weight;
  }

  get sessions(): number {
    return this.#bySession.size;
  }

  /** Number of all subscriptions, markers excluded. */
  get size(): number {
    let size = 0;
    for (const topics of this.#bySession.values()) size += topics.size - 1;
    return size;
  }

  clients(): IterableIterator<string> {
    return this.#bySession.keys();
  }

  has(client: string): boolean {
    return this.#bySession.has(client);
  }

  /** Subscriptions without the marker. */
  list(client: string): Subscription[] {
    return [...(this.#bySession.get(client)?.values() ?? [])].filter(({ topic }) => topic !== sessionMarker);
  }

  /** Sessions that a message of a topic is queued for, shared subscriptions apart. */
  match(topic: string, origin?: string): SessionTarget[] {
    return this.#index.match(topic, origin);
  }

  begin(client: string): void {
    const marker = { topic: sessionMarker, qos: 0 } as const;
    this.#bySession.set(client, new Map([[sessionMarker, marker]]));
    this.#weight += subscriptionWeight(sessionMarker);
    this.#put(client, marker);
  }

  /** The client connects: of all sessions it is now the last one to be evicted. */
  touch(client: string): void {
    const topics = this.#bySession.get(client);
    if (!topics) return;
    this.#bySession.delete(client);
    this.#bySession.set(client, topics);
  }

  /** Adds subscriptions to a session that has begun. */
  add(client: string, subscriptions: Iterable<Subscription>): void {
    const topics = this.#bySession.get(client);
    if (!topics) return;
    for (const subscription of subscriptions) {
      const { topic } = subscription;
      this.#index.remove(client, topic);
      if (!topics.has(topic)) this.#weight += subscriptionWeight(topic);
      topics.set(topic, subscription);
      this.#addToIndex(client, subscription);
      this.#put(client, subscription);
    }
  }

  remove(client: string, topics: readonly string[]): void {
    const known = this.#bySession.get(client);
    if (!known) return;
    for (const topic of topics) {
      this.#index.remove(client, topic);
      if (!known.delete(topic)) continue;
      this.#weight -= subscriptionWeight(topic);
      this.#journal.add(`s${subscriptionKey(client, topic)}`, (sessions) =>
        sessions.removeSubscription(client, topic),
      );
    }
    if (known.size === 0) this.#bySession.delete(client);
  }

  end(client: string): void {
    this.remove(client, [...(this.#bySession.get(client)?.keys() ?? [])]);
  }

  #load(client: string, subscription: Subscription): void {
    const { topic } = subscription;
    const topics = this.#bySession.get(client) ?? new Map<string, Subscription>();
    this.#bySession.set(client, topics.set(topic, subscription));
    this.#weight += subscriptionWeight(topic);
    this.#addToIndex(client, subscription);
  }

  /** Who of a group gets a message is decided elsewhere (see routing/shared-subscriptions.ts). */
  #addToIndex(client: string, subscription: Subscription): void {
    if (!parseShared(subscription.topic)) this.#index.add({ ...subscription, client });
  }

  #put(client: string, { topic, qos, noLocal, retainAsPublished, identifier }: Subscription): void {
    const options = (noLocal === true ? 1 : 0) | (retainAsPublished === true ? 2 : 0);
    this.#journal.add(`s${subscriptionKey(client, topic)}`, (sessions) =>
      sessions.putSubscription({ client, topic, qos, options, identifier: identifier ?? null }),
    );
  }
}

function subscriptionOf({ topic, qos, options, identifier }: SubscriptionRow): Subscription {
  return {
    topic,
    qos: parseQos(qos),
    noLocal: (options & 1) !== 0,
    retainAsPublished: (options & 2) !== 0,
    identifier: identifier ?? undefined,
  };
}
