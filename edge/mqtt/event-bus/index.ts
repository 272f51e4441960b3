import { writeToStream } from "mqtt-packet";
import type { Clock } from "#shared/clock";
import type { MqttConfig } from "#shared/config";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import type { Store } from "#edge/store";
import { startBroker, type Broker } from "#edge/mqtt/broker";
import type { External } from "./external.ts";
import type { EventBusPort } from "./port.ts";
import { TopicRouter } from "./topic-router.ts";

export type { EventBusPort } from "./port.ts";

export interface EventBusConfig extends MqttConfig {
  readonly node: string;
  /** told in `$SYS/broker/version` */
  readonly version: string;
}

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
  const router = new TopicRouter(parts);
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
