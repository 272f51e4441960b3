import type { Journal } from "./journal.ts";
import { clientIdOf } from "./session-name.ts";
import type { BrokerPacket } from "#edge/mqtt/packet";

interface Will {
  readonly row: number;
  readonly packet: BrokerPacket;
}

/** Wills of connected clients (MQTT 3.1.1 section 3.1.2.5); on disk, because edgecore may be killed before they are due. */
export class Wills {
  readonly #journal: Journal;
  readonly #nextRow: () => number;
  readonly #byClient = new Map<string, Will>();

  constructor(journal: Journal, nextRow: () => number) {
    this.#journal = journal;
    this.#nextRow = nextRow;
  }

  load(client: string, will: Will): void {
    this.#byClient.set(client, will);
  }

  put(client: string, will: BrokerPacket): void {
    const packet = Object.assign(will, {
      cmd: "publish" as const,
      clientId: clientIdOf(client),
      payload: Buffer.from(will.payload ?? ""),
    });
    this.remove(client);
    const stored = { row: this.#nextRow(), packet };
    this.#byClient.set(client, stored);
    this.#journal.putPacket("will", client, stored);
  }

  get(client: string): BrokerPacket | undefined {
    return this.#byClient.get(client)?.packet;
  }

  remove(client: string): void {
    const will = this.#byClient.get(client);
    if (!will) return;
    this.#byClient.delete(client);
    this.#journal.removePacket(will.row);
  }

  /** Removes and returns all wills. */
  takeAll(): BrokerPacket[] {
    const all = [...this.#byClient].map(([client, { packet }]) => ({
      ...packet,
      clientId: clientIdOf(client),
    }));
    for (const client of this.#byClient.keys()) this.remove(client);
    return all;
  }
}
