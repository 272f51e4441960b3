import { encodePublish, encodePublishHead, type BrokerPacket, type QoS } from "#edge/mqtt/packet";
import type { Sessions } from "#edge/mqtt/sessions";
import type { Ack, BrokerClient, Subscriber } from "./client.ts";
import { mostUnacknowledged, mostUnsent, window } from "./in-flight.ts";

export interface SubscriberOptions {
  readonly may: (topic: string) => boolean;
  readonly sessions: Sessions;
  readonly failed: (error: unknown) => void;
  /** A message was given up: the session ends with the connection, and it acknowledges nothing. */
  readonly dropped: () => void;
}

/** A payload of so many bytes is not copied for each client. */
const worthSharing = 2048;

/**
 * A connection as the fan-out sees it. A lasting session whose queue is being sent after its return is given no newer
 * messages meanwhile: they are in the queue and follow, in order.
 */
export function subscriberFor(client: BrokerClient, options: SubscriberOptions): Subscriber {
  const { may, sessions, failed, dropped } = options;
  const { conn, outbound } = client;
  const id = client.id ?? "";
  outbound.fill = () => (client.clean ? (client.awaited?.size ?? 0) / mostUnacknowledged : sessions.fill(id));
  return {
    outbound,
    may,
    open: () => client.connackSent && !conn.destroyed,
    refuse: (packet) => {
      if (!client.clean) sessions.refuse(id, packet);
    },
    deliver: (packet, qos) => {
      const awaited = (client.awaited ??= new Map());
      if (client.clean && awaited.size >= mostUnacknowledged) return dropped();
      if (!client.clean && !isReady(client, awaited)) return;
      const messageId = client._nextId;
      const assigned = client.clean ? {} : sessions.assign(id, packet, messageId);
      if (!assigned) return;
      client._nextId = (messageId % 65_535) + 1;
      awaited.set(messageId, qos === 1 ? "puback" : "pubrec");
      const send = (): void => writePublish(client, packet, { qos, messageId });
      if (!assigned.stored) return send();
      assigned.stored.then(send).catch((error: unknown) => {
        failed(error);
        // Its id is given: only the next connection can have it.
        conn.destroy();
      });
    },
  };
}

function isReady(client: BrokerClient, awaited: ReadonlyMap<number, Ack>): boolean {
  if (!client.connected) return false;
  if (awaited.size >= window || client.outbound.waiting > mostUnsent) client.stalled = true;
  return client.stalled !== true;
}

function writePublish(
  { outbound }: BrokerClient,
  { topic = "", payload = "", retain = false }: BrokerPacket,
  { qos, messageId }: { readonly qos: QoS; readonly messageId: number },
): void {
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
  const publication = { topic, payload: bytes, qos, retain, messageId };
  if (bytes.length < worthSharing) return outbound.send(encodePublish(publication));
  outbound.send(encodePublishHead(publication));
  outbound.send(bytes);
}
