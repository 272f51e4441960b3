import type { Clock } from "#shared/clock";
import type { BrokerConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import { Seldom, type Logger } from "#shared/log";
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
  /** A client published; resolves when it is safe. @returns undefined when nobody of ours listens */
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
}

export interface Inside {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly fanOut: FanOut;
  readonly backlog: OutboundBacklog;
  readonly seldom: Seldom;
  readonly publishing: Publishing;
  readonly subscribing: Subscribing;
  readonly traffic: Traffic;
  readonly peers: WeakMap<object, SocketPeer>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** mosquitto takes as many; aedes asks for fewer because of a matcher that is not used here. */
export const mostLevels = 201;

export interface Online {
  clients: Readonly<Record<string, unknown>>;
}

export function makeInside(
  config: BrokerConfig,
  { store, log, receive, clock }: BrokerParts,
  { online, traffic }: { readonly online: Online; readonly traffic: Traffic },
): Inside {
  const seldom = new Seldom(log, clock);
  const sessions = new Sessions(store, {
    queueSize: config.sessionQueueSize,
    isOnline: (client) => online.clients[client] !== undefined,
    onDropped: (client) => {
      traffic.dropped += 1;
      log.debug("dropped the oldest message of a session that is full", { client: clientIdOf(client) });
    },
    onNotRetained: (topic) =>
      seldom.warn("did not retain a message: too many, or too large ones, are kept", { topic }),
    willOf: (client) => (online.clients[client] as BrokerClient | undefined)?.will ?? undefined,
    onEvicted: (client) =>
      seldom.warn("ended the session longest away: there are too many", { client: clientIdOf(client) }),
  });
  const backlog = keepBacklog(config, { clock, seldom, traffic });
  const fanOut = new FanOut(traffic, backlog);
  const access = new Access(config);
  const publishing = new Publishing({ access, sessions, fanOut, traffic, log: seldom, receive, mostLevels });
  const retained = new RetainedSender(sessions, fanOut, (client, error) => {
    log.warn("cannot send an MQTT client what is retained", {
      client: identify(client).clientId,
      error: describeError(error),
    });
    // It would wait for what never comes: it has to ask again.
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

/** What waits for clients in memory; the log says whom it was too much for. */
function keepBacklog(
  { slowClientsBytes, maxPacketBytes }: BrokerConfig,
  { clock, seldom, traffic }: { readonly clock: Clock; readonly seldom: Seldom; readonly traffic: Traffic },
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
