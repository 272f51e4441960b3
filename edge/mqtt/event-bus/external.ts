import { readFileSync } from "node:fs";
import { connect, type IClientOptions, type MqttClient } from "mqtt";
import type { Clock } from "#shared/clock";
import type { ExternalBrokerConfig } from "#shared/config";
import { ConfigError, describeError, quote } from "#shared/errors";
import { backoff, withDeadline } from "#shared/lifecycle";
import { Seldom, type Logger } from "#shared/log";
import { parseMqttAddress } from "#shared/mqtt";
import type { MqttMessage } from "#shared/topics";
import type { Store } from "#edge/store";
import { ExternalIncoming } from "./incoming.ts";
import { ExternalOutgoing } from "./outgoing.ts";
import { ExternalSubscriptions } from "./subscriptions.ts";

const endWithinMs = 2000;

export interface ExternalBrokerParts {
  readonly node: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
}

export interface External extends AsyncDisposable {
  readonly connected: () => boolean;
  publish(message: MqttMessage, retain: boolean): void;
  watch(filters: readonly string[]): void;
}

/**
 * A client of a broker elsewhere. It keeps its session there, so that messages of QoS 1 or 2 wait while edgecore is
 * away, and acknowledges them only once they are safe. A broker that is down is tried again, slower and slower.
 */
export function connectExternal(
  config: ExternalBrokerConfig,
  filters: readonly string[],
  parts: ExternalBrokerParts,
): External {
  const { clock, log } = parts;
  const seldom = new Seldom(log, clock);
  const client = connect(clientOptions(config, parts.node));
  const stop = new AbortController();
  let delays = waits(clock);
  let timer: Disposable | undefined;
  let told = "";
  /** Whether the connection ended at this side: then what was under way has nothing to do with it. */
  let endedHere = false;
  const cut = (): void => {
    endedHere = true;
    client.stream.destroy();
  };
  new ExternalIncoming({ client, receive: parts.receive, cut, log: seldom }).listen();
  const session = `${config.url} ${clientIdOf(config, parts.node)}`;
  const subscriptions = new ExternalSubscriptions(
    { client, store: parts.store, session, log: seldom },
    filters,
  );
  const outgoing = new ExternalOutgoing({ store: parts.store, client, clock, log, seldom });
  client.on("connect", ({ sessionPresent }) => {
    delays = waits(clock);
    endedHere = false;
    told = "";
    log.info("connected to the external MQTT broker", { broker: config.url });
    subscriptions.connected(sessionPresent);
    outgoing.connected();
  });
  client.on("error", (error) => {
    // Those of the socket have a code; the others are the client's own, such as a silence that was too long.
    if (!("code" in error)) endedHere = true;
    const problem = describeError(error);
    // The same failure again and again is one line: a broker may be away for weeks.
    log[problem === told ? "debug" : "warn"]("external MQTT broker", { broker: config.url, error: problem });
    told = problem;
  });
  client.on("close", () => {
    outgoing.closed({ byBroker: !endedHere });
    if (stop.signal.aborted) return;
    timer?.[Symbol.dispose]();
    timer = clock.after(delays.next().value, () => client.reconnect());
  });
  return {
    connected: () => client.connected,
    publish: (message, retain) => outgoing.push(message, retain),
    watch: (next) => subscriptions.watch(next),
    [Symbol.asyncDispose]: async () => {
      if (stop.signal.aborted) return;
      stop.abort();
      timer?.[Symbol.dispose]();
      outgoing.stop();
      await endClient(client, clock);
      outgoing.end();
    },
  };
}

/** The client waits for the acknowledgement of all it sent; a broker may never give it. */
async function endClient(client: MqttClient, clock: Clock): Promise<void> {
  try {
    await withDeadline(clock, { ms: endWithinMs, what: "ending the MQTT connection" }, () =>
      client.endAsync(!client.connected),
    );
  } catch {
    client.stream.destroy();
  }
}

function waits(clock: Clock): Generator<number, never> {
  return backoff({ firstMs: 500, capMs: 30_000, random: () => clock.random() });
}

function clientIdOf({ clientId }: ExternalBrokerConfig, node: string): string {
  return clientId ?? `edgecore-${node}`;
}

/** A url would be read by the client with what Node has deprecated, and warns of on standard error. */
function clientOptions(config: ExternalBrokerConfig, node: string): IClientOptions {
  const { url, username, password, caFile, certFile, keyFile } = config;
  const address = parseMqttAddress(url);
  if (!address) throw new ConfigError("bad-address", `Cannot use mqtt.server: ${quote(url)} is no address`);
  return {
    ...address,
    clientId: clientIdOf(config, node),
    clean: false,
    keepalive: 30,
    reconnectPeriod: 0,
    connectTimeout: 10_000,
    resubscribe: false,
    queueQoSZero: false,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(caFile === undefined ? {} : { ca: readFileSync(caFile) }),
    ...(certFile === undefined ? {} : { cert: readFileSync(certFile) }),
    ...(keyFile === undefined ? {} : { key: readFileSync(keyFile) }),
  };
}
