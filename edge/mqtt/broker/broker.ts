import type { BrokerConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import { reasons } from "#edge/mqtt/packet";
import type { Listeners } from "#edge/mqtt/sockets";
import { makeInternals, type BrokerInternals, type BrokerParts } from "./internals.ts";
import { listenFor } from "./listening.ts";
import { startFigures } from "./sys-figures.ts";

export interface Broker extends AsyncDisposable {
  readonly port: number;
  readonly websocketPort: number | undefined;
  /** Reads the certificates again. If that fails, the old ones stay in use and the log has an error. */
  reload(): void;
  publish(message: MqttMessage, options: { readonly qos: 0 | 1 | 2; readonly retain: boolean }): void;
}

/**
 * Starts the broker of MQTT 3.1, 3.1.1 and 5 inside edgecore (docs/adr/0087).
 * @throws ConfigError when an address is in use or a certificate cannot be read
 */
export async function startBroker(config: BrokerConfig, parts: BrokerParts): Promise<Broker> {
  await using stack = new AsyncDisposableStack();
  const internals = makeInternals(config, parts);
  const { sessions, fanOut, publishing, online } = internals;
  stack.defer(() => sessions.close());
  if (!config.anonymous) sessions.endAnonymous();
  for (const session of sessions.names())
    for (const subscription of sessions.subscriptions(session)) fanOut.shared.join(session, subscription);
  const listeners = stack.use(await listenFor(internals));
  stack.defer(() => {
    for (const client of online.values()) client.dismiss(reasons.shuttingDown);
  });
  sessions.releaseOrphanedWills();
  stack.use(publishFigures(internals, parts.version));
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

function publishFigures(
  { sessions, fanOut, backlog, publishing, traffic, clock, counts }: BrokerInternals,
  version: string,
): Disposable {
  return startFigures({
    counts: () => ({
      ...sessions.counts(),
      clients: counts.connected,
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
