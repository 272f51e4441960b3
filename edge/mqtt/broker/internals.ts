import type { Clock } from "#shared/clock";
import type { BrokerConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import { RateLimitedLog, type Logger } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import { Access } from "#edge/mqtt/access";
import type { BrokerClient } from "#edge/mqtt/connection";
import { OutboundBacklog } from "#edge/mqtt/flow";
import { FanOut, Publishing, RetainedSender, Subscribing, type Traffic } from "#edge/mqtt/routing";
import type { Will } from "#edge/mqtt/packet";
import { Sessions } from "#edge/mqtt/sessions";
import { clientIdOf } from "#edge/mqtt/stored";
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
  readonly config: BrokerConfig;
  readonly access: Access;
  readonly sessions: Sessions;
  readonly fanOut: FanOut;
  readonly backlog: OutboundBacklog;
  readonly seldom: RateLimitedLog;
  readonly publishing: Publishing;
  readonly subscribing: Subscribing;
  readonly traffic: Traffic;
  readonly online: OnlineClients;
  readonly counts: { connected: number };
  readonly peers: WeakMap<object, SocketPeer>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Levels of a topic, as many as mosquitto allows (200 slashes). */
export const mostLevels = 201;

/** Clients that are connected, by session name. */
export type OnlineClients = Map<string, BrokerClient>;

interface SharedParts {
  readonly online: OnlineClients;
  readonly onEnded: (session: string, topics: readonly string[]) => void;
  readonly onWill: (will: Will) => void;
  readonly traffic: Traffic;
  readonly seldom: RateLimitedLog;
}

export function makeInternals(config: BrokerConfig, parts: BrokerParts): BrokerInternals {
  const { log, receive, clock } = parts;
  const { receiveMaximum } = config;
  const traffic: Traffic = { received: 0, receivedBytes: 0, sent: 0, sentBytes: 0, dropped: 0 };
  const online: OnlineClients = new Map();
  const seldom = new RateLimitedLog(log, clock);
  const access = new Access(config);
  const sessions = makeSessions(config, parts, {
    online,
    traffic,
    seldom,
    onEnded: (session, topics) => {
      for (const topic of topics) fanOut.shared.leave(session, topic);
    },
    onWill: (will) => publishWill(access, publishing, will),
  });
  const backlog = makeBacklog(config, { clock, seldom, traffic });
  const fanOut = new FanOut(traffic, backlog);
  const publishing = new Publishing({
    access,
    sessions,
    fanOut,
    traffic,
    log: seldom,
    receive,
    mostLevels,
    receiveMaximum,
  });
  const retained = new RetainedSender(sessions, fanOut, (client, error) => {
    log.warn("cannot send retained messages to an MQTT client", {
      client: identify(client).clientId,
      error: describeError(error),
    });
    // It has to subscribe again: it would wait for the rest in vain.
    client.close();
  });
  const subscribing = new Subscribing({ access, sessions, fanOut, retained, log: seldom, mostLevels });
  return {
    config,
    access,
    sessions,
    fanOut,
    backlog,
    publishing,
    subscribing,
    traffic,
    online,
    counts: { connected: 0 },
    peers: new WeakMap(),
    clock,
    log,
    seldom,
  };
}

/** The topic rules may have changed since the client connected. */
function publishWill(access: Access, publishing: Publishing, will: Will): void {
  const identity = { user: will.user, clientId: will.clientId ?? "" };
  if (access.mayPublish(identity, will.topic ?? "")) publishing.publish(will, { ours: false });
}

function makeSessions(
  { sessionQueueSize: queueSize }: BrokerConfig,
  { store, log, clock }: BrokerParts,
  { online, traffic, seldom, onEnded, onWill }: SharedParts,
): Sessions {
  return new Sessions(store, {
    clock,
    queueSize,
    isOnline: (client) => online.has(client),
    onDropped: (client) => {
      traffic.dropped += 1;
      log.debug("dropped the oldest message of a full session", { client: clientIdOf(client) });
    },
    onNotRetained: (topic) =>
      seldom.warn("did not retain a message: the limit of retained messages is reached", { topic }),
    onEnded,
    onWill,
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
