import { TopicTrie } from "#shared/mqtt";
import type { QoS } from "#edge/mqtt/packet";

/** A subscription of a persistent session. */
export interface SessionSubscription {
  readonly clientId: string;
  readonly topic: string;
  readonly qos: QoS;
}

/** Subscriptions of persistent sessions with QoS 1 or 2, found by topic. */
export class SubscriptionIndex {
  readonly #trie = new TopicTrie<SessionSubscription>();
  readonly #all = new Map<string, SessionSubscription>();

  add(subscription: SessionSubscription): void {
    this.#all.set(subscriptionKey(subscription.clientId, subscription.topic), subscription);
    this.#trie.add(subscription.topic, subscription);
  }

  remove(client: string, topic: string): void {
    const key = subscriptionKey(client, topic);
    const subscription = this.#all.get(key);
    if (!subscription) return;
    this.#all.delete(key);
    this.#trie.remove(topic, subscription);
  }

  /** One subscription for each session: the one with the highest QoS. */
  match(topic: string): SessionSubscription[] {
    if (this.#all.size === 0) return [];
    const best = new Map<string, SessionSubscription>();
    for (const subscription of this.#trie.match(topic))
      if ((best.get(subscription.clientId)?.qos ?? 0) < subscription.qos)
        best.set(subscription.clientId, subscription);
    return [...best.values()];
  }
}

/** An unambiguous key, although both parts may contain any character: the length separates them. */
export function subscriptionKey(client: string, topic: string): string {
  return `${client.length} ${client}${topic}`;
}
