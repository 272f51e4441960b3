import { randomUUID } from "node:crypto";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import type { MqttConfig } from "#shared/config";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { isTopicFilter, newMessage, topicMatches, TopicTrie } from "#shared/message";
import type { EdgeCatalog, MqttMessage, WireMessage } from "#shared/message";
import type { Store } from "#edge/store";
import { startBroker, type Broker } from "#edge/broker";
import type { External } from "./external.ts";

export interface EventBusConfig extends MqttConfig {
  readonly node: string;
  /** told in `$SYS/broker/version` */
  readonly version: string;
}

export type EventBusPort = Port<
  EdgeCatalog,
  "outbox.added",
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
}

/** What edgecore serves whatever devices there are. */
const ownFilters = [
  "$hw/events/device/+/state/update",
  "$hw/events/device/+/twin/+",
  "$hw/events/device/+/+/state/update",
  "$hw/events/device/+/+/twin/+",
  "$hw/events/node/+/membership/get",
  "$hw/events/upload/#",
  "$ke/events/+/upload",
  "$ke/events/+/+/upload",
  "$ke/events/+/+/+/upload",
  "SYS/dis/upload_records",
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
    port.answer("user.deliver", async (message) => {
      router.command(message, publish);
      external?.watch(router.filters());
      return { ack: false };
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
  });
}

/** Decides who is told of a message: the twins, and for topics the cloud subscribed to, the cloud. */
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

  receive(message: MqttMessage): Promise<void> | undefined {
    const { topic } = message;
    const waits: Promise<void>[] = [];
    if (this.#isOwn(topic) || (this.#watchedFilters.length > 0 && this.#watched.match(topic).size > 0))
      waits.push(this.#parts.port.ask("mqtt.received", message).then(() => undefined));
    if (this.#forCloud.size > 0 && [...this.#forCloud].some((filter) => topicMatches(filter, topic)))
      this.#upload(message);
    return waits[0];
  }

  /** Most messages of a busy broker are none of ours: their first letters tell. */
  #isOwn(topic: string): boolean {
    const may = topic.startsWith("$") || topic.startsWith("SYS/") || topic.includes("/user/");
    return may && this.#own.match(topic).size > 0;
  }

  /** A message of group `user`: publish, or listen to a topic for a rule in the cloud. */
  command({ route, content }: WireMessage, publish: (message: MqttMessage) => void): void {
    const topic = route.resource ?? "";
    if (!isTopicFilter(topic)) return;
    const { store } = this.#parts;
    switch (route.operation) {
      case "publish":
        publish({ topic, payload: contentBytes(content) });
        return;
      case "subscribe":
        this.#forCloud.add(topic);
        store.metas.put({ key: `${subscribedType}/${topic}`, type: subscribedType, value: "{}" });
        return;
      case "unsubscribe":
        this.#forCloud.delete(topic);
        store.metas.remove(`${subscribedType}/${topic}`);
        return;
      case undefined:
      default:
        this.#parts.log.debug("message of group user with an unknown operation", { ...route });
    }
  }

  #upload({ topic, payload }: MqttMessage): void {
    const { store, port, clock } = this.#parts;
    const stamp = { id: () => randomUUID(), nowMs: () => clock.nowMs() };
    const message = newMessage(stamp, {
      source: "bus",
      group: "user",
      operation: "upload",
      resource: topic,
      content: Buffer.from(payload).toString("utf8"),
    });
    store.outbox.put("upload", undefined, JSON.stringify(message));
    void port.emit("outbox.added", {});
  }
}

/** Texts as they are, anything else as JSON. */
function contentBytes(content: unknown): Uint8Array {
  return Buffer.from(typeof content === "string" ? content : JSON.stringify(content ?? ""));
}
