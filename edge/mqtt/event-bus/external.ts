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

/** Time for the acknowledgements of what is in flight when edgecore stops. */
const endWithinMs = 2000;

export interface ExternalBrokerParts {
  readonly node: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
}

export interface ExternalBroker extends AsyncDisposable {
  readonly connected: () => boolean;
  publish(message: MqttMessage, retain: boolean): void;
  watch(filters: readonly string[]): void;
}

/**
 * Connects to an external broker with a persistent session, so that messages of QoS 1 and 2 wait there while edgecore is
 * offline, and acknowledges them only when they are stored. Reconnects with backoff, 0.5 s to 30 s.
 * @throws ConfigError when the address is invalid or a certificate cannot be read
 */
export function connectExternal(
  config: ExternalBrokerConfig,
  filters: readonly string[],
  parts: ExternalBrokerParts,
): ExternalBroker {
  const { clock, log } = parts;
  const seldom = new Seldom(log, clock);
  const client = connect(clientOptions(config, parts.node));
  const stop = new AbortController();
  let delays = reconnectDelays(clock);
  let timer: Disposable | undefined;
  let loggedProblem = "";
  /** Whether this side closed the connection: then no message in flight is the cause. */
  let closedHere = false;
  const cut = (): void => {
    closedHere = true;
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
    delays = reconnectDelays(clock);
    closedHere = false;
    loggedProblem = "";
    log.info("connected to the external MQTT broker", { broker: config.url });
    subscriptions.connected(sessionPresent);
    outgoing.connected();
  });
  client.on("error", (error) => {
    // Errors of the socket have a code; others come from the client, such as a keepalive timeout.
    if (!("code" in error)) closedHere = true;
    const problem = describeError(error);
    // A failure is logged once while it repeats: a broker may be down for weeks.
    log[problem === loggedProblem ? "debug" : "warn"]("external MQTT broker", {
      broker: config.url,
      error: problem,
    });
    loggedProblem = problem;
  });
  client.on("close", () => {
    outgoing.closed({ byBroker: !closedHere });
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

/** Ends with a deadline, because the client waits for all acknowledgements, and a broker may never send them. */
async function endClient(client: MqttClient, clock: Clock): Promise<void> {
  try {
    await withDeadline(clock, { ms: endWithinMs, what: "ending the MQTT connection" }, () =>
      client.endAsync(!client.connected),
    );
  } catch {
    client.stream.destroy();
  }
}

function reconnectDelays(clock: Clock): Generator<number, never> {
  return backoff({ firstMs: 500, capMs: 30_000, random: () => clock.random() });
}

function clientIdOf({ clientId }: ExternalBrokerConfig, node: string): string {
  return clientId ?? `edgecore-${node}`;
}

/** The address in parts: the client would parse a URL with a deprecated function of Node, which warns on standard error. */
function clientOptions(config: ExternalBrokerConfig, node: string): IClientOptions {
  const { url, username, password, caFile, certFile, keyFile } = config;
  const address = parseMqttAddress(url);
  if (!address)
    throw new ConfigError(
      "bad-address",
      `Cannot use mqtt.server: ${quote(url)} is not an address of a broker`,
    );
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
