import type { Logger } from "#shared/log";
import { isTopicFilter, topicMatches, TopicTrie, uploadFilters } from "#shared/mqtt";
import type { MqttMessage, UserDelivery } from "#shared/topics";
import type { Store } from "#edge/store";
import type { EventBusPort } from "./port.ts";

/** What edgecore serves whatever devices there are. */
const ownFilters = [
  "$hw/events/device/+/state/update",
  "$hw/events/device/+/twin/+",
  "$hw/events/device/+/+/state/update",
  "$hw/events/device/+/+/twin/+",
  "$hw/events/node/+/membership/get",
  ...uploadFilters,
  "+/user/#",
] as const;
const subscribedType = "subtopic";

export interface TopicRouterParts {
  readonly port: EventBusPort;
  readonly store: Store;
  readonly log: Logger;
}

/** Decides which messages are for the twins, and which of those the cloud subscribed to. */
export class TopicRouter {
  readonly #parts: TopicRouterParts;
  readonly #own = new TopicTrie<string>();
  #watched = new TopicTrie<string>();
  #watchedFilters: readonly string[] = [];
  readonly #forCloud = new Set<string>();

  constructor(parts: TopicRouterParts) {
    this.#parts = parts;
    for (const filter of ownFilters) this.#own.add(filter, filter);
    for (const { key } of parts.store.metas.listByType(subscribedType))
      this.#forCloud.add(key.slice(subscribedType.length + 1));
  }

  filters(): string[] {
    return [...new Set([...ownFilters, ...this.#watchedFilters, ...this.#forCloud])];
  }

  watch(filters: readonly string[]): void {
    const trie = new TopicTrie<string>();
    for (const filter of filters) trie.add(filter, filter);
    this.#watched = trie;
    this.#watchedFilters = filters;
  }

  /** Never throws at once. @returns undefined when nobody listens */
  receive(message: MqttMessage): Promise<void> | undefined {
    const { topic, payload } = message;
    const forCloud =
      this.#forCloud.size > 0 && [...this.#forCloud].some((filter) => topicMatches(filter, topic));
    if (!forCloud && !this.#isOwn(topic) && !this.#isWatched(topic)) return undefined;
    const heard = forCloud ? { topic, payload, upload: true } : message;
    return this.#parts.port.ask("mqtt.received", heard).then(() => undefined);
  }

  #isWatched(topic: string): boolean {
    return this.#watchedFilters.length > 0 && this.#watched.match(topic).size > 0;
  }

  /** Most messages of a busy broker are none of ours: their first letters tell. */
  #isOwn(topic: string): boolean {
    const may = topic.startsWith("$") || topic.startsWith("SYS/") || topic.includes("/user/");
    return may && this.#own.match(topic).size > 0;
  }

  /** Publishes for a rule in the cloud, or passes on to it what is published on a topic. */
  command(command: UserDelivery, publish: (message: MqttMessage) => void): void {
    const { topic } = command;
    if (!isTopicFilter(topic)) return;
    const { store, log } = this.#parts;
    switch (command.operation) {
      case "publish":
        if (/[+#]/.test(topic)) log.warn("cannot publish for the cloud: the topic has wildcards", { topic });
        else publish({ topic, payload: command.payload });
        return;
      case "subscribe":
        store.metas.put({ key: `${subscribedType}/${topic}`, type: subscribedType, value: "{}" });
        this.#forCloud.add(topic);
        return;
      case "unsubscribe":
        store.metas.remove(`${subscribedType}/${topic}`);
        this.#forCloud.delete(topic);
    }
  }
}
