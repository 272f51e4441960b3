import type { BrokerClient, ClientHandlers } from "#edge/mqtt/connection";
import { InboundAliases } from "#edge/mqtt/connection";
import { PacketError, reasons, type Disconnect, type Inbound, type Publish } from "#edge/mqtt/packet";
import { identify } from "./admission.ts";
import { connectClient, limitExpiry } from "./connecting.ts";
import { deliverQueued, resume, takeAcknowledgement } from "./deliveries.ts";
import type { BrokerInternals } from "./internals.ts";

const pingResponse = Buffer.from([0xd0, 0]);

/** What the broker does with the packets of clients and when their connections end. */
export function clientHandlers(internals: BrokerInternals): ClientHandlers {
  return {
    take: (client, packet) => take(internals, client, packet),
    failed: (client, problem) => {
      const { user, clientId } = identify(client);
      const address = internals.peers.get(client.conn)?.address;
      internals.seldom.warn(
        "disconnected an MQTT client because of an error of its own",
        { client: clientId, user, address, problem: problem.slice(0, 300) },
        `${address} ${clientId}`,
      );
    },
    closed: (client, problem) => closed(internals, client, problem),
    resume: (client) => {
      resume(internals, client);
      deliverQueuedAfterSubscribing(internals, client);
    },
  };
}

/** Messages that were queued while the client subscribed are sent at once. */
function deliverQueuedAfterSubscribing(internals: BrokerInternals, client: BrokerClient): void {
  if (!client.stalled) deliverQueued(internals, client);
}

/** Nothing is handled before the CONNECT (MQTT 3.1.1 section 3.1), and what comes behind it waits for the CONNACK. */
function take(internals: BrokerInternals, client: BrokerClient, packet: Inbound): void {
  if (client.state === "new") {
    if (packet.cmd === "connect") void connectClient(internals, client, packet);
    else client.close("first packet is not a CONNECT");
    return;
  }
  if (client.state === "connecting") {
    (client.early ??= []).push(packet);
    return;
  }
  if (!client.isClosed) handle(internals, client, packet);
}

function handle(internals: BrokerInternals, client: BrokerClient, packet: Inbound): void {
  switch (packet.cmd) {
    case "publish":
      return publish(internals, client, packet);
    case "pubrel":
      return internals.publishing.take(client, packet);
    case "puback":
    case "pubrec":
    case "pubcomp":
      return takeAcknowledgement(internals, client, packet);
    case "subscribe":
    case "unsubscribe":
      return internals.subscribing.take(client, packet);
    case "pingreq":
      return client.outbound.send(pingResponse);
    case "disconnect":
      return disconnect(internals, client, packet);
    case "connect":
      return client.fail("second CONNECT", reasons.protocolError);
    case "auth":
      return client.fail("AUTH without an authentication method", reasons.protocolError);
  }
}

function publish({ publishing, config }: BrokerInternals, client: BrokerClient, packet: Publish): void {
  if (client.version !== 5) return publishing.take(client, packet);
  try {
    const needsAlias = packet.topicAlias !== undefined || packet.topic === "";
    if (needsAlias) client.inboundAliases ??= new InboundAliases(config.topicAliasMaximum);
    const resolved = needsAlias ? client.inboundAliases?.resolve(packet) : packet;
    if (resolved) publishing.take(client, resolved);
  } catch (error) {
    if (!(error instanceof PacketError)) throw error;
    client.refuse(error);
  }
}

function disconnect({ config }: BrokerInternals, client: BrokerClient, packet: Disconnect): void {
  const { reason, properties } = packet;
  const { sessionExpiry: expiry } = properties;
  if (expiry !== undefined) {
    // A session that was to end with the connection cannot be kept after all (MQTT 5 section 3.14.2.2.2).
    if (client.sessionExpiry === 0 && expiry > 0)
      return client.fail("session expiry in DISCONNECT after none in CONNECT", reasons.protocolError);
    client.sessionExpiry = limitExpiry(expiry, config.sessionExpiryMaximum);
  }
  if (reason === reasons.success) client.will = undefined;
  client.close();
}

function closed(internals: BrokerInternals, client: BrokerClient, problem: string | undefined): void {
  const { log, online, counts, fanOut, sessions } = internals;
  if (problem !== undefined) log.debug("MQTT client failed", { client: identify(client).clientId, problem });
  if (client.subscriber) fanOut.remove(client.subscriber, !client.clean);
  if (online.get(client.id) !== client) return;
  online.delete(client.id);
  counts.connected -= 1;
  sessions.leave(client.id, {
    kept: !client.clean,
    expiry: client.sessionExpiry,
    will: client.will !== undefined,
  });
}
