import { TopicTrie } from "#shared/mqtt";
import type { QoS, Subscription } from "#edge/mqtt/packet";

/** A subscription of a persistent session. */
export interface SessionSubscription extends Subscription {
  readonly client: string;
}

/** A session that gets a message, once, whatever number of its subscriptions cover the topic. */
export interface SessionTarget {
  readonly client: string;
  /** the highest of its subscriptions */
  readonly qos: QoS;
  /** One of them passes the RETAIN flag on. */
  readonly keepsRetain?: boolean;
  /** those that its subscriptions were given */
  readonly identifiers?: readonly number[] | undefined;
}

/** Subscriptions of persistent sessions that messages are queued for, found by topic. */
export class SubscriptionIndex {
  readonly #trie = new TopicTrie<SessionSubscription>();
  readonly #all = new Map<string, SessionSubscription>();

  /** One of QoS 0 matters only for its identifier. */
  add(subscription: SessionSubscription): void {
    if (subscription.qos === 0 && subscription.identifier === undefined) return;
    this.#all.set(subscriptionKey(subscription.client, subscription.topic), subscription);
    this.#trie.add(subscription.topic, subscription);
  }

  remove(client: string, topic: string): void {
    const key = subscriptionKey(client, topic);
    const subscription = this.#all.get(key);
    if (!subscription) return;
    this.#all.delete(key);
    this.#trie.remove(topic, subscription);
  }

  /** @param origin the session that published the message, which subscriptions with No Local leave out */
  match(topic: string, origin?: string): SessionTarget[] {
    if (this.#all.size === 0) return [];
    const targets = new Map<string, SessionTarget>();
    for (const subscription of this.#trie.match(topic)) {
      const { client, noLocal } = subscription;
      if (noLocal === true && client === origin) continue;
      targets.set(client, joinTarget(targets.get(client), { ...targetOf(subscription), client }));
    }
    return [...targets.values()].filter(({ qos }) => qos > 0);
  }
}

/** What one subscription asks for. */
export function targetOf({
  qos,
  retainAsPublished = false,
  identifier,
}: Subscription): Omit<SessionTarget, "client"> {
  return {
    qos,
    keepsRetain: retainAsPublished,
    identifiers: identifier === undefined ? undefined : [identifier],
  };
}

/** What several subscriptions of one client ask for together. */
export function joinTarget<T extends Omit<SessionTarget, "client">>(known: T | undefined, more: T): T {
  if (!known) return more;
  return {
    ...known,
    qos: known.qos > more.qos ? known.qos : more.qos,
    keepsRetain: known.keepsRetain === true || more.keepsRetain === true,
    identifiers:
      known.identifiers && more.identifiers
        ? [...known.identifiers, ...more.identifiers]
        : (known.identifiers ?? more.identifiers),
  };
}

/** An unambiguous key, although both parts may contain any character: the length separates them. */
export function subscriptionKey(client: string, topic: string): string {
  return `${client.length} ${client}${topic}`;
}
