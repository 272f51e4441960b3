import type { QoS, Subscription } from "#edge/mqtt/packet";
import type { SubscriptionRow } from "#edge/store";
import type { Journal } from "./journal.ts";
import { weightOf } from "./subscription-weight.ts";
import { subscriptionKey, SubscriptionIndex, type SessionSubscription } from "./subscription-index.ts";

/**
 * A subscription each lasting session has, of a topic nobody may publish to: aedes tells by its subscriptions whether
 * there is a session, and one without any is one too.
 */
export const sessionMarker = "$SYS/session";

/** Lasting sessions and their subscriptions, in memory and, with the journal's next commit, on disk. */
export class SessionSubscriptions {
  readonly #journal: Journal;
  /** Sessions in the order in which their clients last connected. */
  readonly #bySession = new Map<string, Map<string, QoS>>();
  readonly #wanted = new SubscriptionIndex();
  #weight = 0;

  constructor(journal: Journal, rows: Iterable<SubscriptionRow>) {
    this.#journal = journal;
    for (const { client, topic, qos } of rows) this.#load(client, topic, qos as QoS);
  }

  /** of all subscriptions, see `weightOf` */
  get weight(): number {
    return this.#weight;
  }

  get sessions(): number {
    return this.#bySession.size;
  }

  /** Subscriptions of all sessions, markers apart. */
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

  /** With the marker; undefined where there is no session. */
  find(client: string): ReadonlyMap<string, QoS> | undefined {
    return this.#bySession.get(client);
  }

  /** Without the marker. */
  list(client: string): Subscription[] {
    const topics = [...(this.#bySession.get(client) ?? [])];
    return topics.filter(([topic]) => topic !== sessionMarker).map(([topic, qos]) => ({ topic, qos }));
  }

  /** Who is to have a message of QoS 1 or 2 on this topic. */
  match(topic: string): SessionSubscription[] {
    return this.#wanted.match(topic);
  }

  begin(client: string): void {
    this.#bySession.set(client, new Map([[sessionMarker, 0]]));
    this.#weight += weightOf(sessionMarker);
    this.#put(client, sessionMarker, 0);
  }

  /** Those that came last are kept longest. */
  touch(client: string): void {
    const topics = this.#bySession.get(client);
    if (!topics) return;
    this.#bySession.delete(client);
    this.#bySession.set(client, topics);
  }

  /** The session is there: see `begin`. */
  add(client: string, granted: ReadonlyMap<string, QoS>): void {
    const topics = this.#bySession.get(client);
    if (!topics) return;
    for (const [topic, qos] of granted) {
      this.#wanted.remove(client, topic);
      if (!topics.has(topic)) this.#weight += weightOf(topic);
      topics.set(topic, qos);
      if (qos > 0) this.#wanted.add({ clientId: client, topic, qos });
      this.#put(client, topic, qos);
    }
  }

  remove(client: string, topics: readonly string[]): void {
    const known = this.#bySession.get(client);
    if (!known) return;
    for (const topic of topics) {
      this.#wanted.remove(client, topic);
      if (!known.delete(topic)) continue;
      this.#weight -= weightOf(topic);
      this.#journal.add(`s${subscriptionKey(client, topic)}`, (to) => to.removeSubscription(client, topic));
    }
    if (known.size === 0) this.#bySession.delete(client);
  }

  /** Ends the session. */
  end(client: string): void {
    this.remove(client, [...(this.#bySession.get(client)?.keys() ?? [])]);
  }

  #load(client: string, topic: string, qos: QoS): void {
    const topics = this.#bySession.get(client) ?? new Map<string, QoS>();
    this.#bySession.set(client, topics.set(topic, qos));
    this.#weight += weightOf(topic);
    if (qos > 0) this.#wanted.add({ clientId: client, topic, qos });
  }

  #put(client: string, topic: string, qos: QoS): void {
    this.#journal.add(`s${subscriptionKey(client, topic)}`, (to) =>
      to.putSubscription({ client, topic, qos }),
    );
  }
}
