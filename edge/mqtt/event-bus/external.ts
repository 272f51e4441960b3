import { readFileSync } from "node:fs";
import { connect, type IClientOptions, type IConnackPacket, type MqttClient } from "mqtt";
import type { Clock } from "#shared/clock";
import type { ExternalBrokerConfig } from "#shared/config";
import { ConfigError, describeError, quote } from "#shared/errors";
import { backoff, withDeadline } from "#shared/lifecycle";
import { RateLimitedLog, type Logger } from "#shared/log";
import { parseMqttAddress } from "#shared/mqtt";
import type { MqttMessage } from "#shared/topics";
import type { Store } from "#edge/store";
import { ExternalIncoming } from "./incoming.ts";
import { ExternalOutgoing } from "./outgoing.ts";
import { ExternalSubscriptions } from "./subscriptions.ts";

/** Time for the acknowledgements of what is in flight when edgecore stops. */
const endWithinMs = 2000;
/** A Session Expiry Interval of all ones (MQTT 5 section 3.1.2.11.2). */
const withoutEnd = 0xffff_ffff;

export interface ExternalBrokerParts {
  readonly node: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
}

export interface ExternalBroker extends AsyncDisposable {
  connected(): boolean;
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
  return new ExternalConnection(config, filters, parts);
}

class ExternalConnection implements ExternalBroker {
  readonly #url: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #client: MqttClient;
  readonly #subscriptions: ExternalSubscriptions;
  readonly #outgoing: ExternalOutgoing;
  #delays: Generator<number, never>;
  #timer: Disposable | undefined;
  #loggedProblem = "";
  /** Whether this side closed the connection: then no message in flight is the cause. */
  #isClosedHere = false;
  #isStopped = false;

  constructor(config: ExternalBrokerConfig, filters: readonly string[], parts: ExternalBrokerParts) {
    const { clock, log, store, receive, node } = parts;
    const seldom = new RateLimitedLog(log, clock);
    const client = connect(clientOptions(config, node));
    const session = `${config.url} ${clientIdOf(config, node)}`;
    this.#url = config.url;
    this.#clock = clock;
    this.#log = log;
    this.#client = client;
    this.#delays = reconnectDelays(clock);
    this.#subscriptions = new ExternalSubscriptions({ client, store, session, log: seldom }, filters);
    this.#outgoing = new ExternalOutgoing({ store, client, clock, log, seldom });
    new ExternalIncoming({ client, receive, cut: () => this.#cut(), log: seldom }).listen();
    client.on("connect", (connack) => this.#connected(connack));
    client.on("error", (error) => this.#failed(error));
    client.on("close", () => this.#closed());
  }

  connected(): boolean {
    return this.#client.connected;
  }

  publish(message: MqttMessage, retain: boolean): void {
    this.#outgoing.push(message, retain);
  }

  watch(filters: readonly string[]): void {
    this.#subscriptions.watch(filters);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#timer?.[Symbol.dispose]();
    this.#outgoing.stop();
    await endClient(this.#client, this.#clock);
    this.#outgoing.end();
  }

  #cut(): void {
    this.#isClosedHere = true;
    this.#client.stream.destroy();
  }

  #connected({ sessionPresent, properties }: IConnackPacket): void {
    this.#delays = reconnectDelays(this.#clock);
    this.#isClosedHere = false;
    this.#loggedProblem = "";
    this.#log.info("connected to the external MQTT broker", { broker: this.#url });
    this.#subscriptions.connected(sessionPresent);
    this.#outgoing.connected(properties?.receiveMaximum);
  }

  #failed(error: Error): void {
    // Errors of the socket have a code; others come from the client, such as a keepalive timeout.
    if (!("code" in error)) this.#isClosedHere = true;
    const problem = describeError(error);
    // A failure is logged once while it repeats: a broker may be down for weeks.
    const level = problem === this.#loggedProblem ? "debug" : "warn";
    this.#log[level]("connection to the external MQTT broker failed", { broker: this.#url, error: problem });
    this.#loggedProblem = problem;
  }

  #closed(): void {
    this.#outgoing.closed({ byBroker: !this.#isClosedHere });
    if (this.#isStopped) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#clock.after(this.#delays.next().value, () => this.#client.reconnect());
  }
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
  const { url, protocol, username, password, caFile, certFile, keyFile } = config;
  const address = parseMqttAddress(url);
  if (!address)
    throw new ConfigError(
      "bad-address",
      `Cannot use mqtt.server: ${quote(url)} is not an address of a broker`,
    );
  return {
    ...address,
    clientId: clientIdOf(config, node),
    protocolVersion: protocol,
    clean: false,
    // In MQTT 5 a session ends with its connection unless it is asked to stay.
    ...(protocol === 5 && { properties: { sessionExpiryInterval: withoutEnd } }),
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
