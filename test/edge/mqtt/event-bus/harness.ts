import { join } from "node:path";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { Bus } from "#shared/bus";
import { systemClock, type Clock } from "#shared/clock";
import type { BrokerConfig, ExternalBrokerConfig } from "#shared/config";
import type { RuleMeaning } from "#shared/rules";
import type { EdgeCatalog, MqttMessage } from "#shared/topics";
import { startEventBus, type EventBus, type EventBusPort } from "#edge/mqtt/event-bus";
import { openStore, type Store } from "#edge/store";
import { silentLog } from "#internal/test/support/silent-log.ts";

export const openBroker: BrokerConfig = {
  url: "tcp://127.0.0.1:0",
  websocketUrl: "ws://127.0.0.1:0",
  websocketOrigins: [],
  certFile: undefined,
  keyFile: undefined,
  caFile: undefined,
  anonymous: true,
  users: [],
  acl: [],
  maxConnections: 1000,
  maxPacketBytes: 1024 * 1024,
  slowClientsBytes: 64 * 1024 * 1024,
  sessionQueueSize: 100,
  receiveMaximum: 1000,
  topicAliasMaximum: 10,
  sessionExpiryMaximum: undefined,
  keepaliveMaximum: undefined,
};

export interface BusHarness extends AsyncDisposable {
  readonly bus: EventBus;
  readonly store: Store;
  readonly received: MqttMessage[];
  readonly log: ReturnType<typeof silentLog>;
  publish(message: MqttMessage): Promise<void>;
  setRules(rules: readonly RuleMeaning[]): Promise<void>;
  /** Sets the filters of plain devices. */
  watch(filters: readonly string[]): Promise<void>;
  connect(options?: IClientOptions & { readonly websocket?: boolean }): Promise<MqttClient>;
}

export interface BusHarnessOptions {
  readonly broker?: Partial<BrokerConfig> | undefined;
  readonly external?: ExternalBrokerConfig;
  /** the database file; by default in the directory */
  readonly database?: string | undefined;
  readonly clock?: Clock;
  /** Rules that are stored. */
  readonly rules?: readonly RuleMeaning[];
  readonly receive?: (message: MqttMessage) => Promise<void>;
}

/** The event bus over a real store, with the test in place of the device twins. */
export async function startBus(directory: string, options: BusHarnessOptions = {}): Promise<BusHarness> {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(openStore(options.database ?? join(directory, "edge.db")));
  const bus = new Bus<EdgeCatalog>({
    onFailure: (topic, module, error) => {
      throw new Error(`${topic} ${module}`, { cause: error });
    },
  });
  const received: MqttMessage[] = [];
  const twins = bus.port<
    "mqtt.publish" | "mqtt.watch" | "rules.changed",
    never,
    never,
    "mqtt.received" | "mqtt.filters" | "rule.list"
  >("twins");
  twins.answer("rule.list", async () => options.rules ?? []);
  twins.answer("mqtt.filters", async () => []);
  twins.answer("mqtt.received", async (message) => {
    received.push(message);
    await options.receive?.(message);
    return undefined;
  });
  const port: EventBusPort = bus.port("eventbus");
  const log = silentLog();
  const broker = "broker" in options && !options.broker ? undefined : { ...openBroker, ...options.broker };
  const eventBus = stack.use(
    await startEventBus(
      { node: "ke-edge", version: "0.0.0", qos: 0, retain: false, broker, external: options.external },
      { port, store, clock: options.clock ?? systemClock, log },
    ),
  );
  const clients: MqttClient[] = [];
  stack.defer(async () => {
    for (const client of clients) await client.endAsync(true);
  });
  const owned = stack.move();
  return {
    bus: eventBus,
    store,
    received,
    log,
    publish: (message) => twins.emit("mqtt.publish", message),
    setRules: (rules) => twins.emit("rules.changed", { rules }),
    watch: (filters) => twins.emit("mqtt.watch", { filters }),
    connect: async ({ websocket, ...more } = {}) => {
      const url = websocket
        ? `ws://127.0.0.1:${eventBus.websocketPort}`
        : `mqtt://127.0.0.1:${eventBus.mqttPort}`;
      const client = await connectAsync(url, { reconnectPeriod: 0, ...more }, false);
      clients.push(client);
      return client;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export interface Seen {
  readonly topic: string;
  readonly text: string;
  readonly qos: number;
  readonly retain: boolean;
}

/** Collects what a client gets; `count(n)` resolves when there are n. */
export function collect(client: MqttClient): { readonly all: Seen[]; count(n: number): Promise<Seen[]> } {
  const all: Seen[] = [];
  const waiting: { readonly n: number; readonly resolve: (seen: Seen[]) => void }[] = [];
  client.on("message", (topic, payload, { qos, retain }) => {
    all.push({ topic, text: payload.toString(), qos, retain });
    for (const { n, resolve } of waiting) if (all.length >= n) resolve(all);
  });
  return {
    all,
    count: (n) =>
      all.length >= n ? Promise.resolve(all) : new Promise((resolve) => waiting.push({ n, resolve })),
  };
}
