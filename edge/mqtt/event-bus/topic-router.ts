import type { Logger } from "#shared/log";
import { isTopicFilter, topicMatches, TopicTrie, uploadFilters } from "#shared/mqtt";
import { mayChoose, type RuleMeaning } from "#shared/rules";
import type { MqttMessage, UserDelivery } from "#shared/topics";
import type { Store } from "#edge/store";
import type { EventBusPort } from "./port.ts";

/** Topics that edgecore serves, whatever devices there are: those of KubeEdge's device twin and event bus. */
const servedFilters = [
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

/** Decides which messages are for the modules of edgecore, and which of them a rule in the cloud subscribed to. */
export class TopicRouter {
  readonly #parts: TopicRouterParts;
  readonly #served = new TopicTrie<string>();
  #watched = new TopicTrie<string>();
  #watchedFilters: readonly string[] = [];
  /** Filters that the cloud subscribed to by message, as that of KubeEdge does. */
  readonly #subscribed = new Set<string>();
  #ofRules: readonly string[] = [];

  constructor(parts: TopicRouterParts) {
    this.#parts = parts;
    for (const filter of servedFilters) this.#served.add(filter, filter);
    for (const { key } of parts.store.metas.listByType(subscribedType))
      this.#subscribed.add(key.slice(subscribedType.length + 1));
  }

  filters(): string[] {
    return [...new Set([...servedFilters, ...this.#watchedFilters, ...this.#subscribed, ...this.#ofRules])];
  }

  /** Replaces the filters of plain devices. */
  watch(filters: readonly string[]): void {
    const trie = new TopicTrie<string>();
    for (const filter of filters) trie.add(filter, filter);
    this.#watched = trie;
    this.#watchedFilters = filters;
  }

  /** Takes what the rules of this node take, in the place of the rules before. */
  setRules(rules: readonly RuleMeaning[], node: string): void {
    this.#ofRules = rules.flatMap(({ source }) =>
      source.kind === "eventbus" && mayChoose(source.nodes, node) ? [source.filter] : [],
    );
  }

  /** @returns when the message is stored, undefined when it is for no module. Never throws synchronously. */
  receive(message: MqttMessage): Promise<void> | undefined {
    const { topic } = message;
    const forCloud = this.#isForCloud(topic);
    if (!forCloud && !this.#isServed(topic) && !this.#isWatched(topic)) return undefined;
    const received = forCloud ? { ...message, upload: true } : message;
    return this.#parts.port.ask("mqtt.received", received).then(() => undefined);
  }

  #isForCloud(topic: string): boolean {
    if (this.#ofRules.some((filter) => topicMatches(filter, topic))) return true;
    return this.#subscribed.size > 0 && [...this.#subscribed].some((filter) => topicMatches(filter, topic));
  }

  #isWatched(topic: string): boolean {
    return this.#watchedFilters.length > 0 && this.#watched.match(topic).size > 0;
  }

  /** Most messages of a busy broker are not ours, which a look at the prefix settles. */
  #isServed(topic: string): boolean {
    const isCandidate = topic.startsWith("$") || topic.startsWith("SYS/") || topic.includes("/user/");
    return isCandidate && this.#served.match(topic).size > 0;
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
        this.#subscribed.add(topic);
        return;
      case "unsubscribe":
        store.metas.remove(`${subscribedType}/${topic}`);
        this.#subscribed.delete(topic);
    }
  }
}
