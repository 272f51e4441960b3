import { TopicTrie } from "#shared/message";
import type { QoS } from "./session-queue.ts";

/** That a lasting session wants what a filter covers, at most at this QoS. */
export interface Wanted {
  readonly clientId: string;
  readonly topic: string;
  readonly qos: QoS;
}

/** What lasting sessions want at QoS 1 or 2, found by topic. */
export class WantedIndex {
  readonly #trie = new TopicTrie<Wanted>();
  readonly #all = new Map<string, Wanted>();

  get size(): number {
    return this.#all.size;
  }

  add(wanted: Wanted): void {
    this.#all.set(`${wanted.clientId}\n${wanted.topic}`, wanted);
    this.#trie.add(wanted.topic, wanted);
  }

  remove(client: string, topic: string): void {
    const wanted = this.#all.get(`${client}\n${topic}`);
    if (!wanted) return;
    this.#all.delete(`${client}\n${topic}`);
    this.#trie.remove(topic, wanted);
  }

  /** One a client: that of the highest QoS. */
  match(topic: string): Wanted[] {
    if (this.#all.size === 0) return [];
    const best = new Map<string, Wanted>();
    for (const wanted of this.#trie.match(topic))
      if ((best.get(wanted.clientId)?.qos ?? 0) < wanted.qos) best.set(wanted.clientId, wanted);
    return [...best.values()];
  }
}
