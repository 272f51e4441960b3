import { parseQos, type QoS, type Subscription } from "#edge/mqtt/packet";
import type { SubscriptionRow } from "#edge/store";
import type { Journal } from "./journal.ts";
import { subscriptionKey, SubscriptionIndex, type SessionSubscription } from "./subscription-index.ts";

/**
 * A subscription of every persistent session, to a topic that no client may use: aedes concludes from the subscriptions
 * whether there is a session (Session Present in the CONNACK), and a session may have none.
 */
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
  readonly #bySession = new Map<string, Map<string, QoS>>();
  readonly #index = new SubscriptionIndex();
  #weight = 0;

  constructor(journal: Journal, rows: Iterable<SubscriptionRow>) {
    this.#journal = journal;
    for (const { client, topic, qos } of rows) this.#load(client, topic, parseQos(qos));
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

  /** Subscriptions with the marker; undefined if there is no session. */
  find(client: string): ReadonlyMap<string, QoS> | undefined {
    return this.#bySession.get(client);
  }

  /** Subscriptions without the marker. */
  list(client: string): Subscription[] {
    const topics = [...(this.#bySession.get(client) ?? [])];
    return topics.filter(([topic]) => topic !== sessionMarker).map(([topic, qos]) => ({ topic, qos }));
  }

  /** Subscriptions with QoS 1 or 2 that cover a topic, one for each session. */
  match(topic: string): SessionSubscription[] {
    return this.#index.match(topic);
  }

  begin(client: string): void {
    this.#bySession.set(client, new Map([[sessionMarker, 0]]));
    this.#weight += subscriptionWeight(sessionMarker);
    this.#put(client, sessionMarker, 0);
  }

  /** The client connects: of all sessions it is now the last one to be evicted. */
  touch(client: string): void {
    const topics = this.#bySession.get(client);
    if (!topics) return;
    this.#bySession.delete(client);
    this.#bySession.set(client, topics);
  }

  /** Adds subscriptions to a session that has begun. */
  add(client: string, granted: ReadonlyMap<string, QoS>): void {
    const topics = this.#bySession.get(client);
    if (!topics) return;
    for (const [topic, qos] of granted) {
      this.#index.remove(client, topic);
      if (!topics.has(topic)) this.#weight += subscriptionWeight(topic);
      topics.set(topic, qos);
      if (qos > 0) this.#index.add({ clientId: client, topic, qos });
      this.#put(client, topic, qos);
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

  #load(client: string, topic: string, qos: QoS): void {
    const topics = this.#bySession.get(client) ?? new Map<string, QoS>();
    this.#bySession.set(client, topics.set(topic, qos));
    this.#weight += subscriptionWeight(topic);
    if (qos > 0) this.#index.add({ clientId: client, topic, qos });
  }

  #put(client: string, topic: string, qos: QoS): void {
    this.#journal.add(`s${subscriptionKey(client, topic)}`, (sessions) =>
      sessions.putSubscription({ client, topic, qos }),
    );
  }
}
