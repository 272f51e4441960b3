import { nextTurn } from "#shared/clock";
import {
  encodeIdentifiers,
  lowerQos,
  type BrokerPacket,
  type QoS,
  type Subscription,
} from "#edge/mqtt/packet";
import { targetOf, type Sessions } from "#edge/mqtt/sessions";
import { acknowledged, inFlightWindow, windowOf, type BrokerClient } from "#edge/mqtt/connection";
import type { FanOut } from "./fan-out.ts";

/** Bytes that may wait for the client when the next batch is sent, and bytes of a batch: two socket writes. */
const mostWaitingBytes = 64 * 1024;
/** Messages in a batch: a quarter of the in-flight window, so that the next one is prepared while acknowledgements arrive. */
const mostInBatch = 250;
/**
 * Bytes a persistent session may have to acknowledge before it gets the next batch: half of what its queue holds before it
 * drops the oldest (8 MiB).
 */
const mostQueuedBytes = 4 * 1024 * 1024;
/** Identifies these messages in queues, together with a counter; those of clients have another name. */
const brokerId = "retained";
const nothing = Buffer.alloc(0);

/**
 * Sends retained messages to a client that subscribes (MQTT 3.1.1 section 3.8.4), one SUBSCRIBE after the other, as fast as it
 * reads and acknowledges. For persistent sessions, messages of QoS 1 and 2 are queued before they are sent.
 */
export class RetainedSender {
  readonly #sessions: Sessions;
  readonly #fanOut: FanOut;
  readonly #onFailed: (client: BrokerClient, error: unknown) => void;
  #counter = 0;

  constructor(sessions: Sessions, fanOut: FanOut, onFailed: (client: BrokerClient, error: unknown) => void) {
    this.#sessions = sessions;
    this.#fanOut = fanOut;
    this.#onFailed = onFailed;
  }

  send(client: BrokerClient, subscriptions: readonly Subscription[]): void {
    const before = client.retained ?? Promise.resolve();
    client.retained = before
      .then(() => this.#sendAll(client, subscriptions))
      .catch((error: unknown) => this.#onFailed(client, error));
  }

  async #sendAll(client: BrokerClient, subscriptions: readonly Subscription[]): Promise<void> {
    let largest = 1;
    for (const subscription of subscriptions) {
      const { topic: filter, qos: granted } = subscription;
      await roomFor(client, granted, largest);
      // Read from the store only when it can be sent: a newer message of the topic could be sent before it otherwise.
      for (const batch of inBatches(this.#sessions.retained(filter))) {
        if (client.isClosed || !client.subscriber) return;
        if (!this.#fanOut.hasFilter(client.subscriber, filter)) break;
        await this.#sendBatch(client, batch, subscription);
        largest = batch.reduce((most, packet) => Math.max(most, sizeOf(packet)), largest);
        await nextTurn();
        await roomFor(client, granted, largest);
      }
    }
  }

  async #sendBatch(
    client: BrokerClient,
    batch: readonly BrokerPacket[],
    subscription: Subscription,
  ): Promise<void> {
    const packets = batch
      .filter(({ topic = "" }) => client.subscriber?.mayReceive(topic) === true)
      .map((packet) => this.#name(packet, subscription.qos));
    if (!client.clean) await this.#store(client, packets, subscription);
    const { identifier } = subscription;
    for (const packet of packets) {
      const { qos, properties = nothing } = packet;
      const own =
        identifier === undefined
          ? packet
          : { ...packet, properties: Buffer.concat([properties, encodeIdentifiers([identifier])]) };
      if (qos === 0) client.subscriber?.send(own);
      else client.subscriber?.deliver(own, qos);
    }
  }

  #name(packet: BrokerPacket, granted: QoS): BrokerPacket {
    this.#counter += 1;
    return {
      ...packet,
      qos: lowerQos(packet.qos, granted),
      brokerId,
      brokerCounter: this.#counter,
    };
  }

  /** Stores a batch with one commit. */
  async #store(
    client: BrokerClient,
    packets: readonly BrokerPacket[],
    subscription: Subscription,
  ): Promise<void> {
    const target = { ...targetOf(subscription), keepsRetain: true, client: client.id };
    const stored = packets
      .filter(({ qos }) => qos > 0)
      .map((packet) => this.#sessions.storeFor(target, packet));
    try {
      await Promise.all(stored.map(({ committed }) => committed));
    } catch (error) {
      for (const each of stored) each.discard();
      throw error;
    }
    for (const each of stored) each.release();
  }
}

/** Waits until the client can take a batch of messages of at most `largest` bytes. */
async function roomFor(client: BrokerClient, granted: QoS, largest: number): Promise<void> {
  const window = Math.min(inFlightWindow, windowOf(client));
  const most = window - Math.min(mostInBatch, window);
  if (granted > 0)
    await acknowledged(client, client.clean ? most : Math.min(most, Math.floor(mostQueuedBytes / largest)));
  await client.outbound.drained(mostWaitingBytes);
}

/** Batches of messages; an empty one is a pause of the search for them. */
function* inBatches(packets: Iterable<BrokerPacket | undefined>): Generator<readonly BrokerPacket[]> {
  let batch: BrokerPacket[] = [];
  let bytes = 0;
  for (const packet of packets) {
    if (packet) batch.push(packet);
    bytes += packet ? sizeOf(packet) : 0;
    if (packet && batch.length < mostInBatch && bytes < mostWaitingBytes) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

function sizeOf({ payload }: BrokerPacket): number {
  return payload?.length ?? 0;
}
