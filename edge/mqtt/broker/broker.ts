import { Aedes } from "aedes";
import type { BrokerConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import type { MqttMessage } from "#shared/topics";
import type { BrokerPacket } from "#edge/mqtt/packet";
import type { Traffic } from "#edge/mqtt/routing";
import { longestIdentifier } from "./admission.ts";
import { watch } from "./connections.ts";
import { makeInside, mostLevels, type BrokerParts, type Inside, type Online } from "./inside.ts";
import { listenFor } from "./listening.ts";
import { rulesFor } from "./rules.ts";
import { startFigures } from "./sys-figures.ts";

export interface Broker extends AsyncDisposable {
  readonly port: number;
  readonly websocketPort: number | undefined;
  /** Reads certificates again; where that fails the old ones stay, and the log says so. */
  reload(): void;
  publish(message: MqttMessage, options: { readonly qos: 0 | 1 | 2; readonly retain: boolean }): void;
}

/** What aedes emits is nobody's to hear: publications go another way. */
const silentEmitter = {
  on: (_topic: string, _hear: unknown, done?: () => void): void => done?.(),
  removeListener: (_topic: string, _hear: unknown, done?: () => void): void => done?.(),
  emit: (_packet: unknown, done?: () => void): void => done?.(),
  close: (done?: () => void): void => done?.(),
};

/**
 * The broker inside edgecore. aedes holds the conversation with each client; what is published goes past it (see
 * `Publishing`), because it acknowledges before anything is stored and routes too slowly.
 */
export async function startBroker(config: BrokerConfig, parts: BrokerParts): Promise<Broker> {
  await using stack = new AsyncDisposableStack();
  const online: Online = { clients: {} };
  const traffic: Traffic = { received: 0, receivedBytes: 0, sent: 0, sentBytes: 0, dropped: 0 };
  const inside = makeInside(config, parts, { online, traffic });
  const { sessions, fanOut, publishing, backlog } = inside;
  const options = {
    persistence: sessions.persistence,
    mq: silentEmitter,
    maxClientsIdLength: longestIdentifier,
    ...rulesFor(inside),
  };
  const broker = await Aedes.createBroker(options);
  Object.assign(broker, { maxTopicLevels: mostLevels });
  online.clients = (broker as unknown as Online).clients;
  stack.defer(() => sessions.persistence.destroy());
  stack.defer(() => closeBroker(broker));
  watch(broker, inside);
  const listeners = stack.use(await listenFor(broker, config, inside));
  if (!config.anonymous) sessions.endAnonymous();
  for (const will of sessions.takeOrphanedWills()) publishOrphanedWill(inside, will);
  stack.use(
    startFigures({
      counts: () => ({
        ...sessions.counts(),
        clients: broker.connectedClients,
        live: fanOut.subscriptions,
        slow: backlog,
      }),
      traffic,
      version: parts.version,
      clock: parts.clock,
      publish: (topic, payload) =>
        publishing.publish({ cmd: "publish", topic, payload, qos: 0, retain: true }, { ours: true }),
    }),
  );
  const owned = stack.move();
  return {
    port: listeners.tcp,
    websocketPort: listeners.websocket,
    reload: () => {
      try {
        listeners.reload();
      } catch (error) {
        parts.log.error("cannot read the MQTT broker's certificate again: the old one stays", {
          error: describeError(error),
        });
      }
    },
    publish: ({ topic, payload }, { qos, retain }) =>
      publishing.publish(
        { cmd: "publish", topic, payload: Buffer.from(payload), qos, retain },
        { ours: true },
      ),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function closeBroker(broker: Aedes): Promise<void> {
  return new Promise((resolve) => broker.close(() => resolve()));
}

/** A will of the run before: rules may have changed since. */
function publishOrphanedWill({ access, publishing }: Inside, will: BrokerPacket): void {
  const who = { user: will.user, clientId: will.clientId ?? "" };
  if (access.mayPublish(who, will.topic ?? "")) publishing.publish(will, { ours: false });
}
