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
  /** The will of the connection that has the client's name now. */
  readonly willOf: (client: string) => BrokerPacket | undefined;
  /** Begins a session where there is none. @returns the subscriptions of one that was there, with the marker */
  readonly begin: (client: string) => ReadonlyMap<string, QoS> | undefined;
  readonly end: (client: string) => void;
}

/** What aedes asks of a persistence; a promise resolves after the commit. */
export class AedesPersistence {
  readonly #parts: PersistenceParts;
  /** Clients connecting now that speak MQTT 3.1. */
  readonly #old = new Set<string>();

  constructor(parts: PersistenceParts) {
    this.#parts = parts;
  }

  /** The client speaks MQTT 3.1, which has no word for a session that was there. */
  expectMqtt31(client: string): void {
    this.#old.add(client);
  }

  async setup(): Promise<void> {
    // Nothing of the broker is needed.
  }

  /** aedes asks before the client has taken over the name: whoever has it now still needs the session. */
  async cleanSubscriptions(): Promise<void> {
    // `cleanIncoming` follows.
  }

  /** A client without a lasting session has the name now; aedes comes too when one leaves, and leaves nothing here. */
  async cleanIncoming(client: Named & { readonly closed?: boolean }): Promise<void> {
    if (client.closed === true) return;
    this.#parts.end(client.id);
    await this.#parts.journal.commit();
  }

  /** Asked for each client that wants a lasting session; begins one where there is none. */
  async subscriptionsByClient(client: Named): Promise<Subscription[]> {
    const old = this.#old.delete(client.id);
    const known = this.#parts.begin(client.id);
    await this.#parts.journal.commit();
    const hidden = known === undefined || (known.size === 1 && old);
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
    const entries = [...(this.#parts.queues.of(client.id)?.entries() ?? [])].filter(({ ready }) => ready);
    return Readable.from(
      entries.map(({ packet }) => ({
        ...packet,
        dup: packet.cmd === "publish" && packet.messageId !== undefined,
      })),
    );
  }

  /** The broker sends what is retained itself. */
  createRetainedStreamCombi(): Readable {
    return Readable.from([]);
  }

  async putWill(client: Named, packet: BrokerPacket): Promise<void> {
    this.#parts.wills.put(client.id, packet);
    await this.#parts.journal.commit();
  }

  /**
   * aedes asks when a connection begins (with the client itself) and when one ends: then the will on disk may be of the
   * one that took over. It leaves a rejection unheard.
   */
  async delWill(client: Named): Promise<void> {
    const stored = this.#parts.wills.of(client.id);
    const ends = !("conn" in client);
    if (stored === undefined || (ends && this.#parts.willOf(client.id) !== stored)) return;
    this.#parts.wills.remove(client.id);
    this.#parts.journal.commitSoon();
  }

  /** One broker alone: the wills of others are told at start. */
  streamWill(): Readable {
    return Readable.from([]);
  }

  async destroy(): Promise<void> {
    await this.#parts.journal.commit();
  }
}
