import { encodePublish, type BrokerPacket, type QoS, type Subscription } from "#edge/mqtt/packet";
import type { Sessions } from "#edge/mqtt/sessions";
import { acknowledged, window, type BrokerClient } from "#edge/mqtt/connection";
import type { FanOut } from "./fan-out.ts";

/** Bytes that may wait for the client before the next retained messages are sent, and about as many are sent then. */
const mostWaiting = 64 * 1024;
const mostInPiece = 250;
/** Bytes a lasting session may have to acknowledge before it gets more: a queue gives up its oldest beyond 8 MiB. */
const mostQueued = 4 * 1024 * 1024;
/** A broker of ours has one name for what it gives an identity for a queue. */
const brokerId = "retained";

/**
 * Sends a client what is retained for what it subscribed to, at the pace it reads and acknowledges, one SUBSCRIBE after
 * the other. Lasting sessions have messages of QoS 1 and 2 in their queue before.
 */
export class RetainedSender {
  readonly #sessions: Sessions;
  readonly #fanOut: FanOut;
  readonly #failed: (client: BrokerClient, error: unknown) => void;
  #counter = 0;

  constructor(sessions: Sessions, fanOut: FanOut, failed: (client: BrokerClient, error: unknown) => void) {
    this.#sessions = sessions;
    this.#fanOut = fanOut;
    this.#failed = failed;
  }

  send(client: BrokerClient, subscriptions: readonly Subscription[]): void {
    const before = client.retained ?? Promise.resolve();
    client.retained = before
      .then(() => this.#sendAll(client, subscriptions))
      .catch((error: unknown) => this.#failed(client, error));
  }

  async #sendAll(client: BrokerClient, subscriptions: readonly Subscription[]): Promise<void> {
    let largest = 1;
    for (const { topic: filter, qos: granted } of subscriptions) {
      await roomFor(client, granted, largest);
      // A piece is taken only when it can be sent: what waited could overtake what was published since.
      for (const piece of inPieces(this.#sessions.retained(filter))) {
        if (client.conn.destroyed || !client.subscriber) return;
        if (!this.#fanOut.wants(client.subscriber, filter)) break;
        await this.#give(client, piece, granted);
        largest = piece.reduce((most, packet) => Math.max(most, sizeOf(packet)), largest);
        await new Promise((resolve) => setImmediate(resolve));
        await roomFor(client, granted, largest);
      }
    }
  }

  async #give(client: BrokerClient, piece: readonly BrokerPacket[], granted: QoS): Promise<void> {
    const packets = piece
      .filter(({ topic = "" }) => client.subscriber?.may(topic) === true)
      .map((packet) => this.#name(packet, granted));
    if (!client.clean) await this.#store(client, packets);
    for (const packet of packets) {
      const { topic = "", payload = "", qos } = packet;
      if (qos > 0) client.subscriber?.deliver(packet, qos === 2 ? 2 : 1);
      else client.outbound.send(encodePublish({ topic, payload: Buffer.from(payload), qos, retain: true }));
    }
  }

  #name(packet: BrokerPacket, granted: QoS): BrokerPacket {
    this.#counter += 1;
    return {
      ...packet,
      qos: Math.min(packet.qos, granted) as QoS,
      brokerId,
      brokerCounter: this.#counter,
    };
  }

  /** All in one commit. */
  async #store(client: BrokerClient, packets: readonly BrokerPacket[]): Promise<void> {
    const stored = packets
      .filter(({ qos }) => qos > 0)
      .map((packet) => this.#sessions.storeFor(client.id ?? "", packet, packet.qos));
    try {
      await Promise.all(stored.map(({ committed }) => committed));
    } catch (error) {
      for (const each of stored) each.discard();
      throw error;
    }
    for (const each of stored) each.release();
  }
}

async function roomFor(client: BrokerClient, granted: QoS, largest: number): Promise<void> {
  const most = window - mostInPiece;
  if (granted > 0)
    await acknowledged(client, client.clean ? most : Math.min(most, Math.floor(mostQueued / largest)));
  await client.outbound.drained(mostWaiting);
}

/** A piece ends, empty perhaps, where it is time for others too. */
function* inPieces(packets: Iterable<BrokerPacket | undefined>): Generator<readonly BrokerPacket[]> {
  let piece: BrokerPacket[] = [];
  let bytes = 0;
  for (const packet of packets) {
    if (packet) piece.push(packet);
    bytes += packet ? sizeOf(packet) : 0;
    if (packet && piece.length < mostInPiece && bytes < mostWaiting) continue;
    yield piece;
    piece = [];
    bytes = 0;
  }
  if (piece.length > 0) yield piece;
}

function sizeOf({ payload }: BrokerPacket): number {
  return payload?.length ?? 0;
}
