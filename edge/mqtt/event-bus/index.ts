import { writeToStream } from "mqtt-packet";
import type { Clock } from "#shared/clock";
import type { MqttConfig } from "#shared/config";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import type { Store } from "#edge/store";
import { startBroker, type Broker } from "#edge/mqtt/broker";
import type { ExternalBroker } from "./external.ts";
import type { EventBusPort } from "./port.ts";
import { TopicRouter } from "./topic-router.ts";

export type { EventBusPort } from "./port.ts";

export interface EventBusConfig extends MqttConfig {
  readonly node: string;
  /** published on `$SYS/broker/version` */
  readonly version: string;
}

export interface EventBusParts {
  readonly port: EventBusPort;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface EventBus extends Running {
  /** port of the built-in broker, if there is one */
  readonly mqttPort: number | undefined;
  readonly websocketPort: number | undefined;
  readonly externalConnected: () => boolean;
  /** Reads the certificate of the built-in broker again. */
  readonly reload: () => void;
}

/**
 * Starts MQTT for devices: the built-in broker, a client of an external one, or both. Messages on topics of edgecore go to
 * the modules through the bus, without a socket in between, and are acknowledged when they are stored. The device twins
 * have to be started before, since they answer `mqtt.filters`, and metamanager, which answers `rule.list`.
 * @throws ConfigError when the broker cannot listen or a certificate cannot be read
 */
export async function startEventBus(config: EventBusConfig, parts: EventBusParts): Promise<EventBus> {
  const { port, log } = parts;
  // mqtt-packet would cache the encodings of all 16-bit numbers, which takes 10 MB.
  writeToStream.cacheNumbers = false;
  await using stack = new AsyncDisposableStack();
  const router = new TopicRouter(parts);
  router.watch(await port.ask("mqtt.filters", {}));
  router.setRules(await port.ask("rule.list", {}), config.node);
  const receive = (message: MqttMessage): Promise<void> | undefined => router.receive(message);
  const broker: Broker | undefined = config.broker
    ? stack.use(await startBroker(config.broker, { ...parts, version: config.version, receive }))
    : undefined;
  const external = await connectToExternal(config, parts, router);
  if (external) stack.use(external);
  const publish = (message: MqttMessage): void => {
    const retain = message.retain ?? config.retain;
    broker?.publish(message, { qos: config.qos, retain });
    external?.publish(message, retain);
  };
  const updateFilters = (): void => external?.watch(router.filters());
  stack.use(port.on("mqtt.publish", publish));
  stack.use(
    port.on("mqtt.watch", ({ filters }) => {
      router.watch(filters);
      updateFilters();
    }),
  );
  stack.use(
    port.on("rules.changed", ({ rules }) => {
      router.setRules(rules, config.node);
      updateFilters();
    }),
  );
  stack.use(
    port.answer("user.deliver", async (command) => {
      router.command(command, publish);
      updateFilters();
      return undefined;
    }),
  );
  const [mqttPort, websocketPort] = [broker?.port, broker?.websocketPort];
  log.info("event bus started", { port: mqttPort, websocket: websocketPort, external: config.external?.url });
  return Object.assign(running("eventbus", stack.move()), {
    mqttPort,
    websocketPort,
    externalConnected: () => external?.connected() ?? false,
    reload: () => broker?.reload(),
  });
}

/** Loads the MQTT client only when it is needed: it takes memory, and most nodes use the built-in broker alone. */
async function connectToExternal(
  { external, node }: EventBusConfig,
  parts: EventBusParts,
  router: TopicRouter,
): Promise<ExternalBroker | undefined> {
  if (!external) return undefined;
  const { connectExternal } = await import("./external.ts");
  const receive = (message: MqttMessage): Promise<void> | undefined => router.receive(message);
  return connectExternal(external, router.filters(), { ...parts, node, receive });
}
