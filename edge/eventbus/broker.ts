import type { Duplex } from "node:stream";
import { Aedes, type AedesOptions, type AuthenticateError, type Client } from "aedes";
import type { Clock } from "#shared/clock";
import type { BrokerConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { topicMatches, type MqttMessage } from "#shared/message";
import type { Store } from "#edge/store";
import { Access, type Identity } from "./access.ts";
import { listen } from "./listeners.ts";
import type { BrokerPacket } from "./session-queue.ts";
import { Sessions } from "./sessions.ts";
import { startFigures } from "./sys-figures.ts";

export interface BrokerParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  /** A client published; resolves when it is safe. @returns undefined when nobody of ours listens */
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
}

export interface Broker extends AsyncDisposable {
  readonly port: number;
  readonly websocketPort: number | undefined;
  publish(message: MqttMessage, options: { readonly qos: 0 | 1 | 2; readonly retain: boolean }): void;
}

/** Bytes that may wait in the socket of a client that does not read before it is cut off. */
const mostUnread = 8 * 1024 * 1024;

/** What of aedes' client is touched beside its interface; see `tame`. */
interface InnerClient {
  connected: boolean;
  duplicates: object;
  readonly subscriptions: Readonly<Record<string, { readonly qos: 0 | 1 | 2 }>>;
  readonly conn: Duplex;
  readonly _parser: { _parseLength(): boolean; readonly packet: { readonly length: number } };
  waitForDrain(done: (error: Error | null, client: unknown) => void): void;
  emit(event: "error", error: Error): boolean;
}

type Published = Parameters<AedesOptions["authorizePublish"] & object>[1];

/** The broker inside edgecore. */
export async function startBroker(config: BrokerConfig, parts: BrokerParts): Promise<Broker> {
  const { log } = parts;
  await using stack = new AsyncDisposableStack();
  let aedes: Aedes | undefined;
  const sessions = new Sessions(parts.store, {
    queueSize: config.sessionQueueSize,
    isOnline: (client) => clientsOf(aedes)[client] !== undefined,
    onDropped: (client) => log.debug("dropped the oldest message of a client that is away", { client }),
  });
  const broker = await Aedes.createBroker({
    persistence: sessions,
    maxClientsIdLength: 256,
    ...accessRules(config, sessions, parts),
  });
  aedes = broker;
  stack.defer(() => sessions.destroy());
  stack.defer(() => closeBroker(broker));
  watch(broker, sessions, log);
  const listeners = stack.use(
    await listen(config, (stream) =>
      tame(broker.handle(stream) as unknown as InnerClient, broker.id, config.maxPacketBytes),
    ),
  );
  for (const will of sessions.takeLeftWills()) publishPacket(broker, will);
  stack.use(startFigures(broker, () => sessions.counts(), parts.clock));
  const owned = stack.move();
  return {
    port: listeners.tcp,
    websocketPort: listeners.websocket,
    publish: ({ topic, payload }, { qos, retain }) =>
      publishPacket(broker, { cmd: "publish", topic, payload: Buffer.from(payload), qos, retain }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function publishPacket(broker: Aedes, { topic = "", payload = "", qos, retain = false }: BrokerPacket): void {
  broker.publish({ cmd: "publish", topic, payload, qos, retain, dup: false }, () => undefined);
}

function accessRules(config: BrokerConfig, sessions: Sessions, parts: BrokerParts): AedesOptions {
  const access = new Access(config);
  const users = new WeakMap<Client, string>();
  const who = (client: Client): Identity => ({ user: users.get(client), clientId: client.id });
  const refused = (client: Client, topic: string, what: string): void =>
    parts.log.warn("refused an MQTT client a topic", {
      client: client.id,
      user: users.get(client),
      topic,
      what,
    });
  return {
    authenticate: (client, user, password, done) => {
      void admit({ access, users, log: parts.log }, client, { user, password, done });
    },
    authorizePublish: (client, packet, done) => {
      if (!client || access.mayPublish(who(client), packet.topic)) {
        accept({ packet, sessions, parts, brokerId: sessions.brokerId }, client, done);
        return;
      }
      refused(client, packet.topic, "publish");
      done(new Error(`topic ${packet.topic} is not allowed`));
    },
    authorizeSubscribe: (client, subscription, done) => {
      if (access.maySubscribe(who(client), subscription.topic)) return done(null, subscription);
      refused(client, subscription.topic, "subscribe");
      done(null, null);
    },
    authorizeForward: (client, packet) => forward(client as unknown as InnerClient & Last, packet),
  };
}

interface Gate {
  readonly access: Access;
  readonly users: WeakMap<Client, string>;
  readonly log: Logger;
}

interface Credentials {
  readonly user: string | undefined;
  readonly password: Buffer | undefined;
  readonly done: (error: AuthenticateError | null, ok: boolean) => void;
}

async function admit(gate: Gate, client: Client, { user, password, done }: Credentials): Promise<void> {
  const ok = await gate.access.admits(user, password);
  if (ok && user) gate.users.set(client, user);
  if (!ok) gate.log.warn("refused an MQTT client", { client: client.id, user });
  done(ok ? null : badCredentials(), ok);
}

/** An error aedes turns into the return code "bad user name or password". */
function badCredentials(): AuthenticateError {
  const error: Error = Object.assign(new Error("bad user name or password"), { returnCode: 4 });
  return error as AuthenticateError;
}

interface Accepted {
  readonly packet: Published;
  readonly sessions: Sessions;
  readonly parts: BrokerParts;
  readonly brokerId: string;
}

/**
 * aedes acknowledges QoS 1 before it stores anything, so what a publication of QoS 1 or 2 causes is made durable here,
 * before the acknowledgement. QoS 0 promises nothing and is not held up.
 */
function accept(
  { packet, sessions, parts, brokerId }: Accepted,
  client: Client | null,
  done: (error?: Error | null) => void,
): void {
  const message = { topic: packet.topic, payload: asBuffer(packet.payload) };
  if (packet.qos === 0) {
    done();
    const taken = parts.receive(message);
    if (!taken) return;
    void settle([taken], (error) => {
      if (error) parts.log.warn("cannot take an MQTT message", { topic: packet.topic, error });
    });
    return;
  }
  if (packet.qos === 1 && client) number(packet, brokerId, client);
  const waits = [parts.receive(message), packet.qos === 1 ? sessions.storeAhead(packet) : undefined];
  const pending = waits.filter((wait) => wait !== undefined);
  if (pending.length === 0) return done();
  void settle(pending, done);
}

async function settle(
  pending: readonly Promise<void>[],
  done: (error?: Error | null) => void,
): Promise<void> {
  try {
    await Promise.all(pending);
  } catch (error) {
    done(new Error(describeError(error)));
    return;
  }
  done();
}

/** Gives a packet the identity aedes would give it later on. */
function number(packet: BrokerPacket, brokerId: string, client: Client): void {
  const broker = (client as unknown as { broker: { counter: number } }).broker;
  broker.counter += 1;
  packet.brokerId = brokerId;
  packet.brokerCounter = broker.counter;
}

interface Last {
  lastCounter?: number | undefined;
  lastBroker?: string;
}

/**
 * Each message once for each client, however many of its filters match, and never at a higher QoS than was granted:
 * aedes looks at exact filters only.
 */
function forward<P extends BrokerPacket>(client: InnerClient & Last, packet: P): P | null {
  if (packet.brokerId) {
    if (client.lastCounter === packet.brokerCounter && client.lastBroker === packet.brokerId) return null;
    client.lastCounter = packet.brokerCounter;
    client.lastBroker = packet.brokerId;
  }
  if (packet.qos < 2) return packet;
  const granted = Object.entries(client.subscriptions)
    .filter(([filter]) => topicMatches(filter, packet.topic ?? ""))
    .map(([, { qos }]) => qos);
  const qos = granted.length > 0 ? Math.max(...granted) : packet.qos;
  return qos < packet.qos
    ? Object.assign(Object.create(Object.getPrototypeOf(packet)), packet, { qos })
    : packet;
}

/**
 * Corrects what aedes does with a connection: a packet that is too long ends it before its bytes are kept; a client
 * that does not read is cut off instead of holding up all others; and a message is not taken for a duplicate because
 * one published later overtook it (see `forward`, which tells real duplicates).
 */
function tame(client: InnerClient, brokerId: string, maxPacketBytes: number): void {
  const parser = client._parser;
  const parseLength = parser._parseLength.bind(parser);
  parser._parseLength = () => {
    const complete = parseLength();
    if (!complete || parser.packet.length <= maxPacketBytes) return complete;
    client.emit(
      "error",
      new Error(`packet of ${parser.packet.length} bytes: at most ${maxPacketBytes} allowed`),
    );
    return false;
  };
  gather(client.conn);
  const waitForDrain = client.waitForDrain.bind(client);
  client.waitForDrain = (done) => {
    if (!client.connected) return waitForDrain(done);
    const slow = client.conn.writableLength > mostUnread;
    if (slow) client.conn.destroy(new Error("client does not read"));
    setImmediate(done, slow ? new Error("client does not read") : null, client);
  };
  client.duplicates = {
    get [brokerId]() {
      return 0;
    },
    set [brokerId](_: number) {
      // Nothing is remembered: an overtaken message would look like a duplicate.
    },
  };
}

/**
 * What is written in one turn of the event loop goes out in one system call. aedes writes each message in a callback of
 * its own and would flush after every one.
 */
function gather(conn: Duplex): void {
  const cork = conn.cork.bind(conn);
  let held = false;
  conn.cork = () => {
    cork();
    if (held) return;
    held = true;
    cork();
    setImmediate(() => {
      held = false;
      conn.uncork();
    });
  };
}

function watch(broker: Aedes, sessions: Sessions, log: Logger): void {
  broker.on("clientError", (client, error) => log.debug("MQTT client failed", { client: client.id, error }));
  broker.on("connectionError", (_, error) => log.debug("MQTT connection failed", { error }));
  (broker as NodeJS.EventEmitter).on("error", (error: Error) => log.error("MQTT broker failed", { error }));
  broker.on("subscribe", (subscriptions) => {
    sessions.granted = subscriptions.map(({ topic, qos }) => ({ topic, qos }));
  });
}

function clientsOf(broker: Aedes | undefined): Readonly<Record<string, unknown>> {
  return (broker as unknown as { clients?: Record<string, unknown> } | undefined)?.clients ?? {};
}

function closeBroker(broker: Aedes): Promise<void> {
  return new Promise((resolve) => broker.close(() => resolve()));
}

function asBuffer(payload: string | Buffer): Buffer {
  return typeof payload === "string" ? Buffer.from(payload) : payload;
}
