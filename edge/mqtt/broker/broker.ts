import { Aedes } from "aedes";
import type { BrokerConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import type { BrokerPacket } from "#edge/mqtt/packet";
import type { Traffic } from "#edge/mqtt/routing";
import type { Listeners } from "#edge/mqtt/sockets";
import { longestClientId } from "./admission.ts";
import { authorizationHooks } from "./authorization.ts";
import { watchConnections } from "./connections.ts";
import {
  makeInternals,
  mostLevels,
  type BrokerInternals,
  type BrokerParts,
  type OnlineClients,
} from "./internals.ts";
import { listenFor } from "./listening.ts";
import { startFigures } from "./sys-figures.ts";

export interface Broker extends AsyncDisposable {
  readonly port: number;
  readonly websocketPort: number | undefined;
  /** Reads the certificates again. If that fails, the old ones stay in use and the log has an error. */
  reload(): void;
  publish(message: MqttMessage, options: { readonly qos: 0 | 1 | 2; readonly retain: boolean }): void;
}

/** Replaces aedes' emitter: publications do not pass through it. */
const noEmitter = {
  on: (_topic: string, _listener: unknown, done?: () => void): void => done?.(),
  removeListener: (_topic: string, _listener: unknown, done?: () => void): void => done?.(),
  emit: (_packet: unknown, done?: () => void): void => done?.(),
  close: (done?: () => void): void => done?.(),
};

/**
 * Starts the MQTT 3.1 and 3.1.1 broker inside edgecore. aedes handles connecting, keepalive and the repetition of queued
 * messages; publications and subscriptions bypass it (docs/adr/0011), because it acknowledges before it stores and its
 * routing is slow.
 * @throws ConfigError when an address is in use or a certificate cannot be read
 */
export async function startBroker(config: BrokerConfig, parts: BrokerParts): Promise<Broker> {
  await using stack = new AsyncDisposableStack();
  const online: OnlineClients = { clients: {} };
  const traffic: Traffic = { received: 0, receivedBytes: 0, sent: 0, sentBytes: 0, dropped: 0 };
  const internals = makeInternals(config, parts, { online, traffic });
  const { sessions, publishing } = internals;
  const aedes = await createAedes(internals);
  // A private field of aedes, whose version is pinned.
  online.clients = (aedes as unknown as OnlineClients).clients;
  stack.defer(() => sessions.persistence.destroy());
  stack.defer(() => new Promise<void>((resolve) => aedes.close(() => resolve())));
  watchConnections(aedes, internals);
  const listeners = stack.use(await listenFor(aedes, config, internals));
  if (!config.anonymous) sessions.endAnonymous();
  for (const will of sessions.takeOrphanedWills()) publishOrphanedWill(internals, will);
  stack.use(publishFigures(aedes, internals, parts.version));
  const owned = stack.move();
  return {
    port: listeners.tcp,
    websocketPort: listeners.websocket,
    reload: () => reloadCertificates(listeners, parts.log),
    publish: ({ topic, payload }, { qos, retain }) =>
      publishing.publish(
        { cmd: "publish", topic, payload: Buffer.from(payload), qos, retain },
        { ours: true },
      ),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function createAedes(internals: BrokerInternals): Promise<Aedes> {
  const options = {
    persistence: internals.sessions.persistence,
    mq: noEmitter,
    maxClientsIdLength: longestClientId,
    ...authorizationHooks(internals),
  };
  return Object.assign(await Aedes.createBroker(options), { maxTopicLevels: mostLevels });
}

/** A will of the previous run of edgecore: the topic rules may have changed since. */
function publishOrphanedWill({ access, publishing }: BrokerInternals, will: BrokerPacket): void {
  const identity = { user: will.user, clientId: will.clientId ?? "" };
  if (access.mayPublish(identity, will.topic ?? "")) publishing.publish(will, { ours: false });
}

function publishFigures(
  aedes: Aedes,
  { sessions, fanOut, backlog, publishing, traffic, clock }: BrokerInternals,
  version: string,
): Disposable {
  return startFigures({
    counts: () => ({
      ...sessions.counts(),
      clients: aedes.connectedClients,
      live: fanOut.subscriptions,
      slow: backlog,
    }),
    traffic,
    version,
    clock,
    publish: (topic, payload) =>
      publishing.publish({ cmd: "publish", topic, payload, qos: 0, retain: true }, { ours: true }),
  });
}

function reloadCertificates(listeners: Listeners, log: Logger): void {
  try {
    listeners.reload();
  } catch (error) {
    log.error("cannot reload the MQTT broker's certificate, the old one stays in use", {
      error: describeError(error),
    });
  }
}
