import type { Outbound } from "#edge/mqtt/flow";
import {
  encodePublish,
  encodePublishHead,
  type BrokerPacket,
  type Publication,
  type PublicationProperties,
  type QoS,
  type Version,
} from "#edge/mqtt/packet";
import type { Sessions } from "#edge/mqtt/sessions";
import type { Ack, BrokerClient, Subscriber } from "./client.ts";
import {
  freeId,
  isHalfFree,
  mostUnacknowledged,
  mostUnsentBytes,
  mostWaitingBytes,
  windowOf,
} from "./in-flight.ts";

export interface SubscriberOptions {
  readonly mayReceive: (topic: string) => boolean;
  readonly sessions: Sessions;
  readonly onFailed: (error: unknown) => void;
  /** A message was dropped: the session is clean, and the client acknowledges nothing, or takes no packet of its size. */
  readonly onDropped: (why: "unacknowledged" | "too large") => void;
}

/** From this size on a payload is shared by all clients: below it, one copy costs less than a second frame. */
const sharedPayloadBytes = 2048;

/**
 * A connection as a receiver of messages. While the messages in flight of a persistent session are sent after a reconnect,
 * newer ones stay in its queue and follow in order (MQTT 3.1.1 section 4.6).
 */
export class ClientSubscriber implements Subscriber {
  readonly #client: BrokerClient;
  readonly #options: SubscriberOptions;
  #waitingBytes = 0;

  constructor(client: BrokerClient, options: SubscriberOptions) {
    this.#client = client;
    this.#options = options;
    client.outbound.fill = () =>
      client.clean
        ? ((client.awaited?.size ?? 0) + (client.waiting?.length ?? 0)) / mostUnacknowledged
        : options.sessions.fill(client.id);
  }

  get outbound(): Outbound {
    return this.#client.outbound;
  }

  get session(): string {
    return this.#client.id;
  }

  get version(): Version {
    return this.#client.version;
  }

  get isPlain(): boolean {
    return this.#client.outboundAliases === undefined && this.#client.mostBytes > mostShared;
  }

  isOpen(): boolean {
    return this.#client.state === "accepted" && !this.#client.conn.destroyed;
  }

  isFree(): boolean {
    return this.isOpen() && (this.#client.awaited?.size ?? 0) < windowOf(this.#client);
  }

  mayReceive(topic: string): boolean {
    return this.#options.mayReceive(topic);
  }

  refuse(packet: BrokerPacket): void {
    if (!this.#client.clean) this.#options.sessions.refuse(this.#client.id, packet);
  }

  send(packet: BrokerPacket): void {
    const frames = this.#encode(packet, { qos: 0 });
    // In one piece: a part of a message must not be dropped.
    const [bytes] = frames?.parts ?? [];
    if (frames && bytes)
      this.outbound.push({ bytes, mayDrop: frames.mustArrive !== true && packet.retain !== true });
  }

  deliver(packet: BrokerPacket, qos: 1 | 2): void {
    const client = this.#client;
    if (client.clean) return this.#deliverClean(packet, qos);
    if (!this.#hasWindow()) return;
    const { sessions, onFailed } = this.#options;
    const messageId = freeId(client, (id) => sessions.isInFlight(client.id, id));
    const assigned = sessions.assign(client.id, packet, messageId);
    if (!assigned) return;
    this.#expect(messageId, qos);
    const send = (): void => this.#write(assigned.packet, { qos, messageId });
    if (!assigned.stored) return send();
    assigned.stored.then(send).catch((error: unknown) => {
      onFailed(error);
      // The message has an id and cannot be sent again on this connection: the next one repeats it.
      client.close();
    });
  }

  repeat(packet: BrokerPacket, messageId: number): void {
    const qos = packet.qos === 2 ? 2 : 1;
    this.#expect(messageId, qos);
    this.#write(packet, { qos, messageId, dup: true });
  }

  sendWaiting(): void {
    const client = this.#client;
    const { waiting } = client;
    if (!waiting || waiting.length === 0 || !isHalfFree(client)) return;
    const room = windowOf(client) - (client.awaited?.size ?? 0);
    for (const packet of waiting.splice(0, room)) {
      this.#waitingBytes -= packet.payload?.length ?? 0;
      this.#sendClean(packet, packet.qos === 2 ? 2 : 1);
    }
  }

  #deliverClean(packet: BrokerPacket, qos: 1 | 2): void {
    const client = this.#client;
    const open = client.awaited?.size ?? 0;
    const waiting = client.waiting ?? [];
    if (open < windowOf(client) && waiting.length === 0) return this.#sendClean(packet, qos);
    const bytes = packet.payload?.length ?? 0;
    const isBeyond = waiting.length > 0 && this.#waitingBytes + bytes > mostWaitingBytes;
    if (open + waiting.length >= mostUnacknowledged || isBeyond)
      return this.#options.onDropped("unacknowledged");
    this.#waitingBytes += bytes;
    waiting.push({ ...packet, qos });
    client.waiting = waiting;
  }

  #sendClean(packet: BrokerPacket, qos: 1 | 2): void {
    const messageId = freeId(this.#client, () => false);
    this.#expect(messageId, qos);
    this.#write(packet, { qos, messageId });
  }

  #expect(messageId: number, qos: QoS): void {
    (this.#client.awaited ??= new Map<number, Ack>()).set(messageId, qos === 1 ? "puback" : "pubrec");
  }

  #hasWindow(): boolean {
    const client = this.#client;
    if (!client.connected) return false;
    if ((client.awaited?.size ?? 0) >= windowOf(client) || client.outbound.waiting > mostUnsentBytes)
      client.stalled = true;
    return !client.stalled;
  }

  #write(packet: BrokerPacket, delivery: Delivery): void {
    const frames = this.#encode(packet, delivery);
    if (!frames) return this.#giveUp(delivery.messageId ?? 0);
    for (const bytes of frames.parts) this.outbound.send(bytes);
  }

  /** The message is done as if the client had acknowledged it (MQTT-3.1.2-25): it has expired, or is too large. */
  #giveUp(messageId: number): void {
    const client = this.#client;
    client.awaited?.delete(messageId);
    if (!client.clean) this.#options.sessions.finish(client.id, messageId);
  }

  /** @returns undefined when it is not to be sent */
  #encode(packet: BrokerPacket, delivery: Delivery): Frames | undefined {
    const { topic = "", payload = "", retain = false, expiresAtMs } = packet;
    const { qos, messageId = 0, dup = false } = delivery;
    const left = expiresAtMs === undefined ? undefined : this.#options.sessions.secondsUntil(expiresAtMs);
    // What was sent before has to be sent again: the client may have it.
    if (left === 0 && !dup) return undefined;
    const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
    const publication = { topic, payload: bytes, qos, retain, dup, messageId };
    const frames =
      this.#client.version === 5
        ? this.#encode5(publication, { encoded: packet.properties, expirySeconds: left })
        : framesOf(publication, this.#client.mostBytes);
    if (!frames) this.#options.onDropped("too large");
    return frames;
  }

  #encode5(publication: Publication, properties: PublicationProperties): Frames | undefined {
    const { outboundAliases: aliases, mostBytes } = this.#client;
    const alias = aliases?.find(publication.topic);
    if (!alias) return framesOf({ ...publication, properties }, mostBytes);
    const own = { ...properties, alias: alias.alias };
    const frames = framesOf({ ...publication, topic: alias.topic, properties: own }, mostBytes);
    if (!frames && alias.isNew) aliases?.forget(publication.topic);
    return frames && { ...frames, mustArrive: alias.isNew };
  }
}

interface Delivery {
  readonly qos: QoS;
  readonly messageId?: number;
  readonly dup?: boolean;
}

interface Frames {
  readonly parts: readonly Buffer[];
  /** It gives a topic its alias, which later messages use. */
  readonly mustArrive?: boolean;
}

/** Packets that are encoded once for all clients are no larger than the largest packet there is (section 2.1.4). */
const mostShared = 268_435_455 + 5;

function framesOf(publication: Publication, mostBytes: number): Frames | undefined {
  const { payload } = publication;
  const parts =
    payload.length < sharedPayloadBytes || publication.qos === 0
      ? [encodePublish(publication)]
      : [encodePublishHead(publication), payload];
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return length > mostBytes ? undefined : { parts };
}
