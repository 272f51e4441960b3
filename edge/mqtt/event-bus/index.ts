import { writeToStream } from "mqtt-packet";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import type { MqttConfig } from "#shared/config";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { isTopicFilter, topicMatches, TopicTrie, uploadFilters } from "#shared/mqtt";
import type { EdgeCatalog, MqttMessage, UserDelivery } from "#shared/topics";
import type { Store } from "#edge/store";
import { startBroker, type Broker } from "#edge/mqtt/broker";
import type { External } from "./external.ts";

export interface EventBusConfig extends MqttConfig {
  readonly node: string;
  /** told in `$SYS/broker/version` */
  readonly version: string;
}

export type EventBusPort = Port<
  EdgeCatalog,
  never,
  "mqtt.received" | "mqtt.filters",
  "mqtt.publish" | "mqtt.watch",
  "user.deliver"
>;

export interface EventBusParts {
  readonly port: EventBusPort;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface EventBus extends Running {
  /** where the inner broker listens, when there is one */
  readonly mqttPort: number | undefined;
  readonly websocketPort: number | undefined;
  readonly externalConnected: () => boolean;
  /** Reads the inner broker's certificate again. */
  readonly reload: () => void;
}

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

/**
 * Where devices talk MQTT: a broker of its own, a client of one elsewhere, or both. Messages on topics edgecore serves
 * are asked through the bus and acknowledged once they are safe; no socket lies between the inner broker and the twins.
 * The twins are started before.
 */
export async function startEventBus(config: EventBusConfig, parts: EventBusParts): Promise<EventBus> {
  const { port, log } = parts;
  // aedes and the client write with it; its table of all numbers of two bytes takes 10 MB.
  writeToStream.cacheNumbers = false;
  await using stack = new AsyncDisposableStack();
  // The MQTT client takes memory on the many nodes whose devices speak to the inner broker alone.
  const client = config.external && (await import("./external.ts"));
  const router = new Router(parts);
  router.watch(await port.ask("mqtt.filters", {}));
  const receive = (message: MqttMessage): Promise<void> | undefined => router.receive(message);
  const broker: Broker | undefined = config.broker
    ? stack.use(await startBroker(config.broker, { ...parts, version: config.version, receive }))
    : undefined;
  const external: External | undefined =
    client && config.external
      ? stack.use(
          client.connectExternal(config.external, router.filters(), { ...parts, node: config.node, receive }),
        )
      : undefined;
  const publish = (message: MqttMessage): void => {
    const retain = message.retain ?? config.retain;
    broker?.publish(message, { qos: config.qos, retain });
    external?.publish(message, retain);
  };
  stack.use(port.on("mqtt.publish", publish));
  stack.use(
    port.on("mqtt.watch", ({ filters }) => {
      router.watch(filters);
      external?.watch(router.filters());
    }),
  );
  stack.use(
    port.answer("user.deliver", async (command) => {
      router.command(command, publish);
      external?.watch(router.filters());
      return undefined;
    }),
  );
  log.info("event bus started", {
    port: broker?.port,
    websocket: broker?.websocketPort,
    external: config.external?.url,
  });
  return Object.assign(running("eventbus", stack.move()), {
    mqttPort: broker?.port,
    websocketPort: broker?.websocketPort,
    externalConnected: () => external?.connected() ?? false,
    reload: () => broker?.reload(),
  });
}

/** Decides which messages are for the twins, and which of those the cloud subscribed to. */
class Router {
  readonly #parts: EventBusParts;
  readonly #own = new TopicTrie<string>();
  #watched = new TopicTrie<string>();
  #watchedFilters: readonly string[] = [];
  readonly #forCloud = new Set<string>();

  constructor(parts: EventBusParts) {
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
