import { TopicTrie } from "#shared/mqtt";
import type { QoS } from "#edge/mqtt/packet";

/** That a lasting session wants what a filter covers, at most at this QoS. */
export interface SessionSubscription {
  readonly clientId: string;
  readonly topic: string;
  readonly qos: QoS;
}

/** What lasting sessions want at QoS 1 or 2, found by topic. */
export class SubscriptionIndex {
  readonly #trie = new TopicTrie<SessionSubscription>();
  readonly #all = new Map<string, SessionSubscription>();

  add(wanted: SessionSubscription): void {
    this.#all.set(subscriptionKey(wanted.clientId, wanted.topic), wanted);
    this.#trie.add(wanted.topic, wanted);
  }

  remove(client: string, topic: string): void {
    const key = subscriptionKey(client, topic);
    const wanted = this.#all.get(key);
    if (!wanted) return;
    this.#all.delete(key);
    this.#trie.remove(topic, wanted);
  }

  /** One a client: that of the highest QoS. */
  match(topic: string): SessionSubscription[] {
    if (this.#all.size === 0) return [];
    const best = new Map<string, SessionSubscription>();
    for (const wanted of this.#trie.match(topic))
      if ((best.get(wanted.clientId)?.qos ?? 0) < wanted.qos) best.set(wanted.clientId, wanted);
    return [...best.values()];
  }
}

/** Both may hold any character: the length tells where the first ends. */
export function subscriptionKey(client: string, topic: string): string {
  return `${client.length} ${client}${topic}`;
}
