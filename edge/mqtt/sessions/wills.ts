import type { Journal } from "./journal.ts";
import { clientIdOf } from "./session-name.ts";
import type { BrokerPacket } from "#edge/mqtt/packet";

interface Will {
  readonly row: number;
  readonly packet: BrokerPacket;
}

/** What clients want to have said when they vanish; on disk, because edgecore may vanish first. */
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

  put(client: string, given: BrokerPacket): void {
    const packet = Object.assign(given, {
      cmd: "publish" as const,
      clientId: clientIdOf(client),
      payload: Buffer.from(given.payload ?? ""),
    });
    this.remove(client);
    const will = { row: this.#nextRow(), packet };
    this.#byClient.set(client, will);
    this.#journal.putPacket("will", client, will);
  }

  of(client: string): BrokerPacket | undefined {
    return this.#byClient.get(client)?.packet;
  }

  remove(client: string): void {
    const will = this.#byClient.get(client);
    if (!will) return;
    this.#byClient.delete(client);
    this.#journal.removePacket(will.row);
  }

  /** Those of clients that were connected when edgecore ended. */
  takeAll(): BrokerPacket[] {
    const all = [...this.#byClient].map(([client, { packet }]) => ({
      ...packet,
      clientId: clientIdOf(client),
    }));
    for (const client of this.#byClient.keys()) this.remove(client);
    return all;
  }
}
