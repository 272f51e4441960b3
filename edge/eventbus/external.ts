import { readFileSync } from "node:fs";
import { connect, type IClientOptions, type MqttClient } from "mqtt";
import type { Clock } from "#shared/clock";
import type { ExternalBrokerConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { MqttMessage } from "#shared/message";
import type { Store } from "#edge/store";
import { Incoming } from "./incoming.ts";
import { Outgoing } from "./outgoing.ts";

export interface ExternalParts {
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
  parts: ExternalParts,
): External {
  const { clock, log } = parts;
  const client = connect(brokerUrl(config.url), clientOptions(config, parts.node));
  const stop = new AbortController();
  let wanted = [...filters];
  let delays = waits(clock);
  let timer: Disposable | undefined;
  new Incoming({ client, receive: parts.receive, log }).listen();
  const outgoing = new Outgoing({ store: parts.store, client, log });
  client.on("connect", () => {
    delays = waits(clock);
    log.info("connected to the external MQTT broker", { broker: config.url });
    subscribe(client, wanted, log);
    outgoing.pump();
  });
  client.on("error", (error) =>
    log.warn("external MQTT broker", { broker: config.url, error: describeError(error) }),
  );
  client.on("close", () => {
    if (stop.signal.aborted) return;
    timer?.[Symbol.dispose]();
    timer = clock.after(delays.next().value, () => client.reconnect());
  });
  return {
    connected: () => client.connected,
    publish: (message, retain) => outgoing.push(message, retain),
    watch: (next) => {
      const gone = wanted.filter((filter) => !next.includes(filter));
      const fresh = next.filter((filter) => !wanted.includes(filter));
      wanted = [...next];
      if (!client.connected) return;
      for (const filter of gone) client.unsubscribe(filter, () => undefined);
      subscribe(client, fresh, log);
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      timer?.[Symbol.dispose]();
      await client.endAsync(!client.connected);
      outgoing.flush();
    },
  };
}

function waits(clock: Clock): Generator<number, never> {
  return backoff({ firstMs: 500, capMs: 30_000, random: () => clock.random() });
}

function subscribe(client: MqttClient, filters: readonly string[], log: Logger): void {
  if (filters.length === 0) return;
  client.subscribe([...filters], { qos: 1 }, (error) => {
    if (error) log.warn("external MQTT broker refused a subscription", { error: describeError(error) });
  });
}

function brokerUrl(url: string): string {
  return url.replace(/^ssl:/, "tls:");
}

function clientOptions(config: ExternalBrokerConfig, node: string): IClientOptions {
  const { username, password, caFile, certFile, keyFile } = config;
  return {
    clientId: config.clientId ?? `edgecore-${node}`,
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
