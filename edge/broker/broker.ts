import { Aedes, type AedesOptions, type AuthenticateError, type Client } from "aedes";
import type { Clock } from "#shared/clock";
import type { BrokerConfig } from "#shared/config";
import type { Logger } from "#shared/log";
import type { MqttMessage } from "#shared/message";
import type { Store } from "#edge/store";
import { Access, type Identity } from "./access.ts";
import { inner, readerOf, tame, type InnerClient } from "./connection.ts";
import { encodeRefusal } from "./encode.ts";
import { FanOut, type Traffic } from "./fan-out.ts";
import { listen, type Listeners, type Peer } from "./listeners.ts";
import { Publishing } from "./publishing.ts";
import { sessionMarker, Sessions } from "#edge/mqttsessions";
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
  publish(message: MqttMessage, options: { readonly qos: 0 | 1 | 2; readonly retain: boolean }): void;
}

interface Inside {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly fanOut: FanOut;
  readonly publishing: Publishing;
  readonly peers: WeakMap<object, Peer>;
  readonly log: Logger;
}

const identifierRejected = 2;
const longestIdentifier = 256;
/** A client must not fill the memory. */
const mostFilters = 10_000;
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
  const { sessions, fanOut, publishing } = inside;
  const options = {
    persistence: sessions,
    mq: publishing.emitter(),
    maxClientsIdLength: longestIdentifier,
    ...rulesFor(inside),
  };
  const broker = await Aedes.createBroker(options);
  Object.assign(broker, { maxTopicLevels: mostLevels });
  online.clients = (broker as unknown as Online).clients;
  stack.defer(() => sessions.destroy());
  stack.defer(() => closeBroker(broker));
  watch(broker, inside);
  const listeners = stack.use(await listenFor(broker, config, inside));
  for (const will of sessions.takeLeftWills()) publishing.say(will, { ours: false });
  stack.use(
    startFigures({
      counts: () => ({ ...sessions.counts(), clients: broker.connectedClients, live: fanOut.subscriptions }),
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
  { store, log, receive }: BrokerParts,
  { online, traffic }: { readonly online: Online; readonly traffic: Traffic },
): Inside {
  const sessions = new Sessions(store, {
    queueSize: config.sessionQueueSize,
    isOnline: (client) => online.clients[client] !== undefined,
    onDropped: (client) => {
      traffic.dropped += 1;
      log.debug("dropped the oldest message of a session that is full", { client });
    },
    onNotRetained: (topic) =>
      log.warn("did not retain a message: too many, or too large ones, are kept", { topic }),
    onEnded: (client) => log.warn("ended the session longest away: there are too many", { client }),
  });
  const fanOut = new FanOut(traffic);
  const access = new Access(config);
  const publishing = new Publishing({ access, sessions, fanOut, traffic, log, receive, mostLevels });
  return { access, sessions, fanOut, publishing, peers: new WeakMap(), log };
}

function listenFor(broker: Aedes, config: BrokerConfig, inside: Inside): Promise<Listeners> {
  const { peers, publishing, sessions } = inside;
  return listen(config, (stream, peer) => {
    peers.set(stream, peer);
    tame(broker.handle(stream) as unknown as InnerClient, {
      brokerId: broker.id,
      maxPacketBytes: config.maxPacketBytes,
      publish: (client, packet) => publishing.take(client, packet),
      isUnderWay: (client, messageId) => sessions.isUnderWay(client, messageId),
    });
  });
}

/** Of a client that was not let in yet: nobody. */
function identify(client: InnerClient): Identity {
  return client.who ?? { user: undefined, clientId: client.id ?? "" };
}

function rulesFor(inside: Inside): AedesOptions {
  const { access, publishing, log } = inside;
  const refused = (client: Client, topic: string, what: string): void =>
    log.warn("refused an MQTT client a topic", {
      client: client.id,
      user: inner(client).who?.user,
      topic,
      what,
    });
  return {
    preConnect: (client, packet, done) => {
      // MQTT 3.1 wants a name of every client, 3.1.1 of each that wants a lasting session.
      const named = packet.clientId !== "" || (packet.clean && packet.protocolVersion !== 3);
      if (named && packet.clientId.length <= longestIdentifier) return done(null, true);
      inner(client).conn.write(encodeRefusal(identifierRejected));
      done(new Error("client without an identifier, or with a very long one"), false);
    },
    authenticate: (client, user, password, done) => {
      void admit(inside, client, { user, password, done });
    },
    authorizePublish: (client, packet, done) => {
      if (!client || access.mayPublish(identify(inner(client)), packet.topic)) {
        publishing.accept(packet, client ? inner(client) : undefined, done);
        return;
      }
      refused(client, packet.topic, "publish");
      done(new Error(`topic ${packet.topic} is not allowed`));
    },
    authorizeSubscribe: (client, subscription, done) => {
      const { topic } = subscription;
      const { reader } = inner(client);
      const room = !reader || inside.fanOut.filtersOf(reader) < mostFilters;
      if (topic === sessionMarker || (room && access.maySubscribe(identify(inner(client)), topic)))
        return done(null, subscription);
      refused(client, topic, room ? "subscribe" : `more than ${mostFilters} subscriptions`);
      done(null, null);
    },
    authorizeForward: (client, packet) =>
      access.mayReceive(identify(inner(client)), packet.topic) ? packet : null,
  };
}

interface Asked {
  readonly user: string | undefined;
  readonly password: Buffer | undefined;
  readonly done: (error: AuthenticateError | null, ok: boolean) => void;
}

async function admit(inside: Inside, client: Client, { user, password, done }: Asked): Promise<void> {
  const { access, peers, sessions, log } = inside;
  const { conn, version } = inner(client);
  const certificateName = peers.get(conn)?.certificateName();
  const admission = await access.admit({ user, password, certificateName });
  if (!admission.ok) {
    log.warn("refused an MQTT client", { client: client.id, user });
    return done(notAuthorized(), false);
  }
  inner(client).who = { user: admission.user, clientId: client.id };
  sessions.speaksOld(client.id, version === 3);
  // Told when the client is gone, perhaps by the next run, which knows nobody: what it may say is decided now.
  if (!mayWill(inside, inner(client))) {
    log.warn("refused an MQTT client its will", { client: client.id, user });
    return done(notAuthorized(), false);
  }
  done(null, true);
}

function mayWill(inside: Inside, client: InnerClient): boolean {
  const { _will: will } = client;
  return !will || inside.access.mayPublish(identify(client), will.topic ?? "");
}

/** An error aedes turns into that return code. */
function notAuthorized(): AuthenticateError {
  const error: Error = Object.assign(new Error("not authorized"), { returnCode: 5 });
  return error as AuthenticateError;
}

function watch(broker: Aedes, inside: Inside): void {
  const { sessions, fanOut, log, access } = inside;
  broker.on("clientError", (client, error) => log.debug("MQTT client failed", { client: client.id, error }));
  broker.on("connectionError", (_, error) => log.debug("MQTT connection failed", { error }));
  (broker as NodeJS.EventEmitter).on("error", (error: Error) => log.error("MQTT broker failed", { error }));
  broker.on("client", (client) => {
    const { conn, subscriptions } = inner(client);
    const who = identify(inner(client));
    const reader = readerOf(inner(client), {
      may: (topic) => access.open || access.mayReceive(who, topic),
      assign: (packet, messageId) => sessions.assign(client.id, packet, messageId),
      failed: (error) => log.warn("cannot number a message for a client", { client: client.id, error }),
    });
    inner(client).reader = reader;
    conn.once("close", () => fanOut.gone(reader));
    const restored = Object.entries(subscriptions).filter(([topic]) => topic !== sessionMarker);
    fanOut.join(
      reader,
      restored.map(([topic, { qos }]) => ({ topic, qos })),
    );
  });
  broker.on("clientReady", (client) => deliverRest(inner(client), sessions));
  broker.on("subscribe", (subscriptions, client) => {
    sessions.granted = subscriptions.map(({ topic, qos }) => ({ topic, qos }));
    const { reader, conn } = inner(client);
    if (!reader || conn.destroyed) return;
    fanOut.join(
      reader,
      subscriptions.filter(({ qos }) => qos <= 2),
    );
    deliverRest(inner(client), sessions);
  });
  broker.on("unsubscribe", (filters, client) => {
    const { reader } = inner(client);
    if (reader) fanOut.leave(reader, filters);
  });
}

/** Sends what came while a session's queue was being sent after its return, or while it was subscribing. */
function deliverRest(client: InnerClient, sessions: Sessions): void {
  if (client.clean || !client.connected) return;
  for (const packet of sessions.unsent(client.id ?? ""))
    if (packet.qos > 0) client.reader?.deliver(packet, packet.qos === 2 ? 2 : 1);
}

function closeBroker(broker: Aedes): Promise<void> {
  return new Promise((resolve) => broker.close(() => resolve()));
}
