import type { Duplex } from "node:stream";
import { Aedes, type AedesOptions, type Client } from "aedes";
import type { Clock } from "#shared/clock";
import type { BrokerConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import { Seldom, type Logger } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import type { BrokerPacket } from "#edge/mqtt/packet";
import { clientIdOf, sessionMarker, Sessions } from "#edge/mqtt/sessions";
import type { Store } from "#edge/store";
import { Access } from "#edge/mqtt/access";
import { admitClients, identify, longestIdentifier } from "./admission.ts";
import { readerOf, tame, type InnerClient } from "#edge/mqtt/connection";
import { FanOut, Publishing, RetainedSender, Subscribing, type Traffic } from "#edge/mqtt/routing";
import { inner } from "./inner-client.ts";
import { Backlog } from "#edge/mqtt/flow";
import { listen, type Listeners, type Peer } from "#edge/mqtt/sockets";
import { startFigures } from "./sys-figures.ts";

export interface BrokerParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
  /** A client published; resolves when it is safe. @returns undefined when nobody of ours listens */
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
}

export interface Broker extends AsyncDisposable {
  readonly port: number;
  readonly websocketPort: number | undefined;
  /** Reads certificates again; where that fails the old ones stay, and the log says so. */
  reload(): void;
  publish(message: MqttMessage, options: { readonly qos: 0 | 1 | 2; readonly retain: boolean }): void;
}

interface Inside {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly fanOut: FanOut;
  readonly backlog: Backlog;
  readonly seldom: Seldom;
  readonly publishing: Publishing;
  readonly subscribing: Subscribing;
  readonly traffic: Traffic;
  readonly peers: WeakMap<object, Peer>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What aedes emits is nobody's to hear: publications go another way. */
const silentEmitter = {
  on: (_topic: string, _hear: unknown, done?: () => void): void => done?.(),
  removeListener: (_topic: string, _hear: unknown, done?: () => void): void => done?.(),
  emit: (_packet: unknown, done?: () => void): void => done?.(),
  close: (done?: () => void): void => done?.(),
};
/** mosquitto takes as many; aedes asks for fewer because of a matcher that is not used here. */
const mostLevels = 201;

/**
 * The broker inside edgecore. aedes holds the conversation with each client; what is published goes past it (see
 * `Publishing`), because it acknowledges before anything is stored and routes too slowly.
 */
export async function startBroker(config: BrokerConfig, parts: BrokerParts): Promise<Broker> {
  await using stack = new AsyncDisposableStack();
  const online: Online = { clients: {} };
  const traffic: Traffic = { received: 0, receivedBytes: 0, sent: 0, sentBytes: 0, dropped: 0 };
  const inside = makeInside(config, parts, { online, traffic });
  const { sessions, fanOut, publishing, backlog } = inside;
  const options = {
    persistence: sessions.persistence,
    mq: silentEmitter,
    maxClientsIdLength: longestIdentifier,
    ...rulesFor(inside),
  };
  const broker = await Aedes.createBroker(options);
  Object.assign(broker, { maxTopicLevels: mostLevels });
  online.clients = (broker as unknown as Online).clients;
  stack.defer(() => sessions.persistence.destroy());
  stack.defer(() => closeBroker(broker));
  watch(broker, inside);
  const listeners = stack.use(await listenFor(broker, config, inside));
  if (!config.anonymous) sessions.endNameless();
  for (const will of sessions.takeLeftWills()) tellLeftWill(inside, will);
  stack.use(
    startFigures({
      counts: () => ({
        ...sessions.counts(),
        clients: broker.connectedClients,
        live: fanOut.subscriptions,
        slow: backlog,
      }),
      traffic,
      version: parts.version,
      clock: parts.clock,
      publish: (topic, payload) =>
        publishing.say({ cmd: "publish", topic, payload, qos: 0, retain: true }, { ours: true }),
    }),
  );
  const owned = stack.move();
  return {
    port: listeners.tcp,
    websocketPort: listeners.websocket,
    reload: () => {
      try {
        listeners.reload();
      } catch (error) {
        parts.log.error("cannot read the MQTT broker's certificate again: the old one stays", {
          error: describeError(error),
        });
      }
    },
    publish: ({ topic, payload }, { qos, retain }) =>
      publishing.say({ cmd: "publish", topic, payload: Buffer.from(payload), qos, retain }, { ours: true }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Online {
  clients: Readonly<Record<string, unknown>>;
}

function makeInside(
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
    willOf: (client) => (online.clients[client] as InnerClient | undefined)?.will ?? undefined,
    onEnded: (client) =>
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
): Backlog {
  return new Backlog({
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

function listenFor(
  broker: Aedes,
  config: BrokerConfig,
  { peers, publishing, subscribing, sessions, backlog, clock, seldom }: Inside,
): Promise<Listeners> {
  const accept = (stream: Duplex, peer: Peer): void => {
    peers.set(stream, peer);
    tame(broker.handle(stream) as unknown as InnerClient, {
      brokerId: broker.id,
      maxPacketBytes: config.maxPacketBytes,
      backlog,
      take: (client, packet) => {
        if (packet.cmd === "publish" || packet.cmd === "pubrel") publishing.take(client, packet);
        else subscribing.take(client, packet);
      },
      sessions,
    });
  };
  const failed = (address: string | undefined, problem: string): void =>
    seldom.warn("an MQTT client failed in TLS", { address, problem }, address);
  const refused = (address: string | undefined, origin: string): void =>
    seldom.warn(
      "refused MQTT over WebSocket to a web page of another origin",
      { address, origin: origin.slice(0, 200), setting: "mqtt.broker.websocket-origins" },
      origin.slice(0, 200),
    );
  return listen(config, { clock, accept, failed, refused });
}

function rulesFor(inside: Inside): AedesOptions {
  const { access, publishing, seldom } = inside;
  return {
    ...admitClients(inside),
    // Asked for wills alone: they are told here, and aedes is told to leave them.
    authorizePublish: (client, will, done) => {
      if (client && access.mayPublish(identify(inner(client)), will.topic))
        publishing.say(will, { ours: false });
      done(new Error("told"));
    },
    // Asked for those of a session that is back: rules may have changed.
    authorizeSubscribe: (client, subscription, done) => {
      const { topic } = subscription;
      const who = identify(inner(client));
      if (topic === sessionMarker || access.maySubscribe(who, topic)) return done(null, subscription);
      const fields = { client: who.clientId, user: who.user, topic, what: "subscribe" };
      seldom.warn("refused an MQTT client a topic", fields, client.id);
      void forgetSubscription(inside, client.id, topic);
      done(null, null);
    },
    authorizeForward: (client, packet) =>
      access.mayReceive(identify(inner(client)), packet.topic) ? packet : null,
  };
}

async function forgetSubscription({ sessions, log }: Inside, id: string, topic: string): Promise<void> {
  try {
    await sessions.unsubscribe(id, [topic]);
  } catch (error) {
    log.warn("cannot forget a subscription now", {
      client: clientIdOf(id),
      topic,
      error: describeError(error),
    });
  }
}

/** A will of the run before: rules may have changed since. */
function tellLeftWill({ access, publishing }: Inside, will: BrokerPacket): void {
  const who = { user: will.user, clientId: will.clientId ?? "" };
  if (access.mayPublish(who, will.topic ?? "")) publishing.say(will, { ours: false });
}

function watch(broker: Aedes, inside: Inside): void {
  const { log } = inside;
  broker.on("clientError", (client, error) =>
    log.debug("MQTT client failed", { client: identify(inner(client)).clientId, error }),
  );
  broker.on("connectionError", (_, error) => log.debug("MQTT connection failed", { error }));
  (broker as NodeJS.EventEmitter).on("error", (error: Error) => log.error("MQTT broker failed", { error }));
  const register = keepRegister(broker);
  broker.on("client", (client) => {
    const { closed, clean, conn, subscriptions } = inner(client);
    if (closed) return register.unregisterClient(client);
    // Another client of the name may have ended the session while this one was connecting: it comes again.
    if (!clean && !inside.sessions.holds(client.id, Object.keys(subscriptions))) return void conn.destroy();
    beginReading(inside, inner(client));
  });
  broker.on("connackSent", ({ returnCode }, client) => {
    // aedes notes it after this, and begins to send what waits for the client.
    if (returnCode === 0) queueMicrotask(() => inner(client).letIn?.());
  });
  broker.on("clientReady", (client) => deliverRest(inner(client), inside));
}

interface Register {
  readonly clients: Readonly<Record<string, unknown>>;
  unregisterClient(client: Client): void;
}

/** aedes takes a client off its list by name: one that left while it was connecting would take off its successor. */
function keepRegister(broker: Aedes): Register {
  const register = broker as unknown as Register;
  const unregister = register.unregisterClient.bind(register);
  register.unregisterClient = (client) => {
    if (register.clients[client.id] === client) unregister(client);
  };
  return register;
}

function beginReading(inside: Inside, client: InnerClient): void {
  const { sessions, fanOut, log, access, traffic, seldom } = inside;
  const who = identify(client);
  const reader = readerOf(client, {
    may: (topic) => access.open || access.mayReceive(who, topic),
    sessions,
    failed: (error) => log.warn("cannot number a message for a client", { client: who.clientId, error }),
    dropped: () => {
      traffic.dropped += 1;
      seldom.warn(
        "dropped a message for an MQTT client that acknowledges nothing",
        { client: who.clientId },
        client.id ?? "",
      );
    },
  });
  client.reader = reader;
  client.sendRest = () => deliverRest(client, inside);
  client.conn.once("close", () => fanOut.gone(reader));
  // Not what aedes was told when it asked: the connection before may have subscribed to more since.
  const lasting = client.clean ? [] : sessions.subscriptions(client.id ?? "");
  fanOut.join(
    reader,
    lasting.filter(({ topic }) => access.maySubscribe(who, topic)),
  );
}

/** Sends what came while a session's queue was being sent after its return, or while it was subscribing. */
function deliverRest(client: InnerClient, { sessions }: Inside): void {
  const { reader } = client;
  if (client.clean || !client.connected || !reader) return;
  for (const packet of sessions.unsent(client.id ?? "")) {
    if (!reader.may(packet.topic ?? "")) reader.refuse(packet);
    else if (packet.qos > 0) reader.deliver(packet, packet.qos === 2 ? 2 : 1);
  }
}

function closeBroker(broker: Aedes): Promise<void> {
  return new Promise((resolve) => broker.close(() => resolve()));
}
