import { encodePublish, encodePublishHead, type BrokerPacket, type QoS } from "#edge/mqtt/packet";
import type { Sessions } from "#edge/mqtt/sessions";
import type { Ack, BrokerClient, Subscriber } from "./client.ts";
import { inFlightWindow, mostUnacknowledged, mostUnsentBytes } from "./in-flight.ts";

export interface SubscriberOptions {
  readonly mayReceive: (topic: string) => boolean;
  readonly sessions: Sessions;
  readonly onFailed: (error: unknown) => void;
  /** A message was dropped: the session is clean, and the client acknowledges nothing. */
  readonly onDropped: () => void;
}

/** From this size on a payload is shared by all clients: below it, one copy costs less than a second frame. */
const sharedPayloadBytes = 2048;

/**
 * Makes a connection a receiver of messages. While the queue of a persistent session is sent after a reconnect, newer
 * messages stay in the queue and follow in order (MQTT 3.1.1 section 4.6).
 */
export function subscriberFor(client: BrokerClient, options: SubscriberOptions): Subscriber {
  const { mayReceive, sessions, onFailed, onDropped } = options;
  const { conn, outbound } = client;
  const id = client.id ?? "";
  outbound.fill = () => (client.clean ? (client.awaited?.size ?? 0) / mostUnacknowledged : sessions.fill(id));
  return {
    outbound,
    mayReceive,
    isOpen: () => client.connackSent && !conn.destroyed,
    refuse: (packet) => {
      if (!client.clean) sessions.refuse(id, packet);
    },
    deliver: (packet, qos) => {
      const awaited = (client.awaited ??= new Map());
      if (client.clean && awaited.size >= mostUnacknowledged) return onDropped();
      if (!client.clean && !hasWindow(client, awaited)) return;
      const messageId = client._nextId;
      const assigned = client.clean ? {} : sessions.assign(id, packet, messageId);
      if (!assigned) return;
      client._nextId = (messageId % 65_535) + 1;
      awaited.set(messageId, qos === 1 ? "puback" : "pubrec");
      const send = (): void => writePublish(client, packet, { qos, messageId });
      if (!assigned.stored) return send();
      assigned.stored.then(send).catch((error: unknown) => {
        onFailed(error);
        // The message has an id and cannot be sent again on this connection: the next one repeats it.
        conn.destroy();
      });
    },
  };
}

function hasWindow(client: BrokerClient, awaited: ReadonlyMap<number, Ack>): boolean {
  if (!client.connected) return false;
  if (awaited.size >= inFlightWindow || client.outbound.waiting > mostUnsentBytes) client.stalled = true;
  return client.stalled !== true;
}

function writePublish(
  { outbound }: BrokerClient,
  { topic = "", payload = "", retain = false }: BrokerPacket,
  { qos, messageId }: { readonly qos: QoS; readonly messageId: number },
): void {
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
  const publication = { topic, payload: bytes, qos, retain, messageId };
  if (bytes.length < sharedPayloadBytes) return outbound.send(encodePublish(publication));
  outbound.send(encodePublishHead(publication));
  outbound.send(bytes);
}
