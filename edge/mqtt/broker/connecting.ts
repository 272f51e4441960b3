import { randomUUID } from "node:crypto";
import type { BrokerConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import { ClientSubscriber, OutboundAliases, type BrokerClient } from "#edge/mqtt/connection";
import { encodeConnack, parseShared, reasons, type ConnackProperties, type Connect } from "#edge/mqtt/packet";
import { admit, logRefused, problemOf, type Refusal } from "./admission.ts";
import { sendInFlight } from "./deliveries.ts";
import type { BrokerInternals } from "./internals.ts";

/** A Session Expiry Interval of all ones: without end (MQTT 5 section 3.1.2.11.2). */
const withoutEnd = 0xffff_ffff;
const largestPacket = 268_435_455;

/** Handles a CONNECT (sections 3.1 and 3.2): the first packet of a client. */
export async function connectClient(
  internals: BrokerInternals,
  client: BrokerClient,
  packet: Connect,
): Promise<void> {
  const { peers, online, log } = internals;
  client.state = "connecting";
  client.version = packet.version;
  const clientId = packet.clientId === "" ? `auto-${randomUUID()}` : packet.clientId;
  const connect = { ...packet, clientId };
  const refusal = problemOf(packet) ?? (await admit(internals, client, connect));
  if (client.isClosed) return;
  if (refusal) return refuse(internals, client, { connect, refusal });
  peers.get(client.conn)?.markAccepted();
  takeLimits(internals.config, client, connect);
  // The one before is notified, and leaves its session behind (MQTT-3.1.4-3).
  online.get(client.id)?.dismiss(reasons.takenOver);
  online.set(client.id, client);
  internals.counts.connected += 1;
  try {
    const begun = internals.sessions.begin(client.id, {
      clean: connect.clean,
      expiry: client.sessionExpiry,
      will: client.will,
    });
    client.clean = !begun.kept;
    await begun.committed;
    if (client.isClosed) return;
    accept(internals, client, { packet, clientId, present: begun.present });
  } catch (error) {
    log.warn("cannot begin the session of an MQTT client", {
      client: clientId,
      error: describeError(error),
    });
    const busy = { reason: reasons.serverUnavailable, problem: describeError(error) };
    if (!client.isClosed) refuse(internals, client, { connect, refusal: busy });
  }
}

function refuse(
  internals: BrokerInternals,
  client: BrokerClient,
  { connect, refusal }: { readonly connect: Connect; readonly refusal: Refusal },
): void {
  logRefused(internals, client, { connect, refusal });
  client.will = undefined;
  client.reject(encodeConnack({ version: client.version, reason: refusal.reason }), refusal.problem);
}

/** Takes over what the client says about itself. */
function takeLimits(
  config: BrokerConfig,
  client: BrokerClient,
  { properties, clean, version, will }: Connect,
): void {
  const { sessionExpiry, receiveMaximum, maximumPacketSize, topicAliasMaximum = 0 } = properties;
  const { sessionExpiryMaximum: most } = config;
  // MQTT 3 has sessions that end with the connection, and others.
  const asked = version === 5 ? (sessionExpiry ?? 0) : clean ? 0 : withoutEnd;
  client.sessionExpiry = limitExpiry(asked, most);
  client.will = will && { ...will, user: client.identity?.user };
  if (version !== 5) return;
  client.receiveMaximum = receiveMaximum ?? client.receiveMaximum;
  client.mostBytes = maximumPacketSize ?? client.mostBytes;
  if (topicAliasMaximum > 0) client.outboundAliases = new OutboundAliases(topicAliasMaximum);
}

/** @returns seconds; undefined: without end */
export function limitExpiry(asked: number, most: number | undefined): number | undefined {
  if (asked === withoutEnd) return most;
  return most === undefined ? asked : Math.min(asked, most);
}

interface Accepted {
  readonly packet: Connect;
  readonly clientId: string;
  readonly present: boolean;
}

function accept(internals: BrokerInternals, client: BrokerClient, accepted: Accepted): void {
  const { packet, clientId, present } = accepted;
  const { sessions, fanOut, access, config } = internals;
  const { version } = client;
  const keepalive = limitKeepalive(packet, config.keepaliveMaximum);
  const properties = version === 5 ? connackProperties(config, client, { packet, clientId, keepalive }) : {};
  client.answer(encodeConnack({ version, reason: 0, sessionPresent: present, properties }));
  if (client.isClosed) return;
  client.state = "accepted";
  client.keepAlive(keepalive);
  const subscriber = makeSubscriber(internals, client);
  client.subscriber = subscriber;
  fanOut.subscribe(subscriber, client.clean ? [] : allowed(internals, client));
  if (client.clean) client.connected = true;
  else void sendInFlight(internals, client, (topic) => access.isOpen || subscriber.mayReceive(topic));
  const early = client.early ?? [];
  client.early = undefined;
  for (const each of early) client.take(each);
  client.reader.read();
  // Its session may have ended meanwhile with one that was as good as over.
  if (!client.clean && !client.isClosed && !sessions.has(client.id)) client.close("session ended");
}

/** The subscriptions of a session that is resumed: the topic rules may have changed. */
function allowed(
  { sessions, access, seldom, log }: BrokerInternals,
  client: BrokerClient,
): ReturnType<typeof sessions.subscriptions> {
  const identity = client.identity ?? { user: undefined, clientId: client.id };
  const stored = sessions.subscriptions(client.id);
  const denied = stored.filter(({ topic }) => !access.maySubscribe(identity, filterOf(topic)));
  if (denied.length === 0) return stored;
  for (const { topic } of denied)
    seldom.warn(
      "denied an MQTT client access to a topic",
      { client: identity.clientId, user: identity.user, topic, what: "subscribe" },
      client.id,
    );
  const topics = denied.map(({ topic }) => topic);
  sessions.unsubscribe(client.id, topics).catch((error: unknown) =>
    log.warn("cannot remove subscriptions of an MQTT session", {
      client: identity.clientId,
      error: describeError(error),
    }),
  );
  return stored.filter(({ topic }) => !topics.includes(topic));
}

function filterOf(topic: string): string {
  return parseShared(topic)?.filter ?? topic;
}

function limitKeepalive({ keepalive, version }: Connect, most: number | undefined): number {
  if (version !== 5 || most === undefined) return keepalive;
  return keepalive === 0 ? most : Math.min(keepalive, most);
}

function connackProperties(
  config: BrokerConfig,
  client: BrokerClient,
  {
    packet,
    clientId,
    keepalive,
  }: { readonly packet: Connect; readonly clientId: string; readonly keepalive: number },
): ConnackProperties {
  const { receiveMaximum, topicAliasMaximum, maxPacketBytes } = config;
  const asked = packet.properties.sessionExpiry ?? 0;
  const expiry = client.sessionExpiry ?? withoutEnd;
  return {
    ...(topicAliasMaximum > 0 && { topicAliasMaximum }),
    ...(maxPacketBytes < largestPacket && { maximumPacketSize: maxPacketBytes }),
    ...(packet.clientId === "" && { assignedClientIdentifier: clientId }),
    ...(keepalive !== packet.keepalive && { serverKeepAlive: keepalive }),
    ...(expiry !== asked && { sessionExpiryInterval: expiry }),
    receiveMaximum,
  };
}

function makeSubscriber(
  { sessions, log, access, traffic, seldom }: BrokerInternals,
  client: BrokerClient,
): ClientSubscriber {
  const identity = client.identity ?? { user: undefined, clientId: client.id };
  const { clientId } = identity;
  return new ClientSubscriber(client, {
    mayReceive: (topic) => access.isOpen || access.mayReceive(identity, topic),
    sessions,
    onFailed: (error) =>
      log.warn("cannot store the message id of a message for an MQTT client", { client: clientId, error }),
    onDropped: (why) => {
      traffic.dropped += 1;
      seldom.warn(drops[why], { client: clientId }, client.id);
    },
  });
}

const drops = {
  unacknowledged: "dropped a message for an MQTT client that acknowledges nothing",
  "too large": "dropped a message for an MQTT client that takes no packets of its size",
} as const;
