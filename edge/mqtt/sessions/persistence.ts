import { Readable } from "node:stream";
import type { BrokerPacket, QoS, Subscription } from "#edge/mqtt/packet";
import type { Journal } from "./journal.ts";
import type { SessionQueues } from "./session-queues.ts";
import type { Wills } from "./wills.ts";

interface Named {
  readonly id: string;
}

export interface PersistenceParts {
  readonly journal: Journal;
  readonly queues: SessionQueues;
  readonly wills: Wills;
  /** The will of the connection that has the session now. */
  readonly willOf: (client: string) => BrokerPacket | undefined;
  /** Begins a session if there is none. @returns the subscriptions of one that was there, with the marker */
  readonly begin: (client: string) => ReadonlyMap<string, QoS> | undefined;
  readonly end: (client: string) => void;
}

/** The persistence that aedes calls. Promises resolve after the commit. */
export class AedesPersistence {
  readonly #parts: PersistenceParts;
  /** Clients of MQTT 3.1 that are connecting. */
  readonly #mqtt31 = new Set<string>();

  constructor(parts: PersistenceParts) {
    this.#parts = parts;
  }

  /** The client speaks MQTT 3.1, whose CONNACK has no Session Present flag. */
  expectMqtt31(client: string): void {
    this.#mqtt31.add(client);
  }

  async setup(): Promise<void> {
    // The broker is not needed.
  }

  /** Called before the client has taken over the session from the connection that still uses it. */
  async cleanSubscriptions(): Promise<void> {
    // `cleanIncoming` follows.
  }

  /** A clean session replaces the persistent one. Also called when the client disconnects: then there is nothing to do. */
  async cleanIncoming(client: Named & { readonly closed?: boolean }): Promise<void> {
    if (client.closed === true) return;
    this.#parts.end(client.id);
    await this.#parts.journal.commit();
  }

  /** Called for each client that connects with a persistent session; begins one if there is none. */
  async subscriptionsByClient(client: Named): Promise<Subscription[]> {
    const isMqtt31 = this.#mqtt31.delete(client.id);
    const known = this.#parts.begin(client.id);
    await this.#parts.journal.commit();
    const hidden = known === undefined || (known.size === 1 && isMqtt31);
    return hidden ? [] : [...known].map(([topic, qos]) => ({ topic, qos }));
  }

  async outgoingUpdate(client: Named, packet: BrokerPacket): Promise<void> {
    const { messageId } = packet;
    const isRelease = packet.cmd === "pubrel";
    if (isRelease) this.#parts.queues.release(client.id, messageId);
    else if (messageId !== undefined) this.#parts.queues.assign(client.id, packet, messageId);
    if (isRelease || packet.qos === 2) await this.#parts.journal.commit();
  }

  async outgoingClearMessageId(client: Named, packet: BrokerPacket): Promise<BrokerPacket | undefined> {
    const done = this.#parts.queues.finish(client.id, packet.messageId);
    if (done) await this.#parts.journal.commit();
    return done;
  }

  outgoingStream(client: Named): Readable {
    const entries = [...(this.#parts.queues.get(client.id)?.entries() ?? [])].filter(({ ready }) => ready);
    return Readable.from(
      entries.map(({ packet }) => ({
        ...packet,
        dup: packet.cmd === "publish" && packet.messageId !== undefined,
      })),
    );
  }

  /** Retained messages are sent by `RetainedSender`. */
  createRetainedStreamCombi(): Readable {
    return Readable.from([]);
  }

  async putWill(client: Named, packet: BrokerPacket): Promise<void> {
    this.#parts.wills.put(client.id, packet);
    await this.#parts.journal.commit();
  }

  /**
   * Called when a connection begins (with the client itself) and when one ends: then the will on disk may be that of the
   * connection that took over. aedes does not handle a rejection.
   */
  async delWill(client: Named): Promise<void> {
    const stored = this.#parts.wills.get(client.id);
    const isEnding = !("conn" in client);
    if (stored === undefined || (isEnding && this.#parts.willOf(client.id) !== stored)) return;
    this.#parts.wills.remove(client.id);
    this.#parts.journal.commitSoon();
  }

  /** Wills of other brokers of a cluster: there is none. */
  streamWill(): Readable {
    return Readable.from([]);
  }

  async destroy(): Promise<void> {
    await this.#parts.journal.commit();
  }
}
