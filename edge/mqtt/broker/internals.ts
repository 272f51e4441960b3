import type { Clock } from "#shared/clock";
import type { BrokerConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import { RateLimitedLog, type Logger } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import { Access } from "#edge/mqtt/access";
import type { BrokerClient } from "#edge/mqtt/connection";
import { OutboundBacklog } from "#edge/mqtt/flow";
import { FanOut, Publishing, RetainedSender, Subscribing, type Traffic } from "#edge/mqtt/routing";
import { clientIdOf, Sessions } from "#edge/mqtt/sessions";
import type { SocketPeer } from "#edge/mqtt/sockets";
import type { Store } from "#edge/store";
import { identify } from "./admission.ts";

export interface BrokerParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
  /** A client published. @returns when edgecore has stored the message, undefined when no module subscribed to the topic */
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
}

/** What the broker is made of. */
export interface BrokerInternals {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly fanOut: FanOut;
  readonly backlog: OutboundBacklog;
  readonly seldom: RateLimitedLog;
  readonly publishing: Publishing;
  readonly subscribing: Subscribing;
  readonly traffic: Traffic;
  readonly peers: WeakMap<object, SocketPeer>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Levels of a topic, as many as mosquitto allows (200 slashes). aedes' own limit is for a matcher that is not used. */
export const mostLevels = 201;

/** The clients of aedes by session name; filled once aedes is there, which needs `Sessions` first. */
export interface OnlineClients {
  clients: Readonly<Record<string, BrokerClient | undefined>>;
}

interface SharedParts {
  readonly online: OnlineClients;
  readonly traffic: Traffic;
  readonly seldom: RateLimitedLog;
}

export function makeInternals(
  config: BrokerConfig,
  parts: BrokerParts,
  { online, traffic }: Omit<SharedParts, "seldom">,
): BrokerInternals {
  const { log, receive, clock } = parts;
  const seldom = new RateLimitedLog(log, clock);
  const sessions = makeSessions(config, parts, { online, traffic, seldom });
  const backlog = makeBacklog(config, { clock, seldom, traffic });
  const fanOut = new FanOut(traffic, backlog);
  const access = new Access(config);
  const publishing = new Publishing({ access, sessions, fanOut, traffic, log: seldom, receive, mostLevels });
  const retained = new RetainedSender(sessions, fanOut, (client, error) => {
    log.warn("cannot send retained messages to an MQTT client", {
      client: identify(client).clientId,
      error: describeError(error),
    });
    // It has to subscribe again: it would wait for the rest in vain.
    client.conn.destroy();
  });
  const subscribing = new Subscribing({ access, sessions, fanOut, retained, log: seldom, mostLevels });
  return {
    access,
    sessions,
    fanOut,
    backlog,
    publishing,
    subscribing,
    traffic,
    peers: new WeakMap(),
    clock,
    log,
    seldom,
  };
}

function makeSessions(
  { sessionQueueSize: queueSize }: BrokerConfig,
  { store, log }: BrokerParts,
  { online, traffic, seldom }: SharedParts,
): Sessions {
  return new Sessions(store, {
    queueSize,
    isOnline: (client) => online.clients[client] !== undefined,
    onDropped: (client) => {
      traffic.dropped += 1;
      log.debug("dropped the oldest message of a full session", { client: clientIdOf(client) });
    },
    onNotRetained: (topic) =>
      seldom.warn("did not retain a message: the limit of retained messages is reached", { topic }),
    willOf: (client) => online.clients[client]?.will ?? undefined,
    onEvicted: (client) =>
      seldom.warn("evicted the session that has been offline longest: too many sessions", {
        client: clientIdOf(client),
      }),
  });
}

function makeBacklog(
  { slowClientsBytes, maxPacketBytes }: BrokerConfig,
  {
    clock,
    seldom,
    traffic,
  }: { readonly clock: Clock; readonly seldom: RateLimitedLog; readonly traffic: Traffic },
): OutboundBacklog {
  return new OutboundBacklog({
    mostBytes: slowClientsBytes,
    maxPacketBytes,
    clock,
    onDropped: ({ client, dropped }, messages) => {
      traffic.dropped += messages;
      seldom.warn(
        "dropped messages of QoS 0 for an MQTT client that reads too slowly",
        { client: client(), dropped },
        client(),
      );
    },
    onCut: ({ client }, waitingBytes) =>
      seldom.warn(
        "disconnected an MQTT client that reads too slowly",
        { client: client(), waitingBytes },
        client(),
      ),
  });
}
