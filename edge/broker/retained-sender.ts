import type { BrokerPacket, QoS, Sessions, Subscription } from "#edge/mqttsessions";
import { drained, writeGathered, type InnerClient } from "./connection.ts";
import { encodePublish } from "./encode.ts";

/** Bytes that may wait in the socket before the next retained message is sent. */
const mostWaiting = 256 * 1024;
/** A broker of ours has one name for what it gives an identity for a queue. */
const brokerId = "retained";

/**
 * Sends a client what is retained for what it subscribed to, at the pace it reads, one SUBSCRIBE after the other. Lasting
 * sessions have messages of QoS 1 and 2 in their queue before.
 */
export class RetainedSender {
  readonly #sessions: Sessions;
  readonly #failed: (client: InnerClient, error: unknown) => void;
  #counter = 0;

  constructor(sessions: Sessions, failed: (client: InnerClient, error: unknown) => void) {
    this.#sessions = sessions;
    this.#failed = failed;
  }

  send(client: InnerClient, subscriptions: readonly Subscription[]): void {
    const before = client.retained ?? Promise.resolve();
    client.retained = before
      .then(() => this.#sendAll(client, subscriptions))
      .catch((error: unknown) => this.#failed(client, error));
  }

  async #sendAll(client: InnerClient, subscriptions: readonly Subscription[]): Promise<void> {
    const { conn } = client;
    for (const { topic: filter, qos: granted } of subscriptions)
      for (const packet of this.#sessions.retained(filter)) {
        if (!packet) await new Promise((resolve) => setImmediate(resolve));
        if (conn.writableLength > mostWaiting) await drained(conn, mostWaiting);
        if (conn.destroyed) return;
        if (client.subscriptions[filter] === undefined) break;
        if (!packet || client.reader?.may(packet.topic ?? "") !== true) continue;
        await this.#give(client, packet, Math.min(packet.qos, granted) as QoS);
      }
  }

  async #give(client: InnerClient, packet: BrokerPacket, qos: QoS): Promise<void> {
    if (qos === 0) {
      const { topic = "", payload = "" } = packet;
      writeGathered(client.conn, encodePublish({ topic, payload: Buffer.from(payload), qos, retain: true }));
      return;
    }
    this.#counter += 1;
    const named = { ...packet, brokerId, brokerCounter: this.#counter };
    if (!client.clean) {
      const stored = this.#sessions.storeFor(client.id ?? "", named, qos);
      try {
        await stored.committed;
      } catch (error) {
        stored.discard();
        throw error;
      }
      stored.release();
    }
    client.reader?.deliver(named, qos);
  }
}
