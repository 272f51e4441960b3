import type { Will } from "#edge/mqtt/packet";
import type { Deadlines } from "./deadlines.ts";
import type { Journal } from "./journal.ts";
import { clientIdOf } from "./session-name.ts";

interface StoredWill {
  readonly row: number;
  readonly packet: Will;
  /** Time of the broker from which on it is published; undefined while the client is connected. */
  readonly dueAtMs?: number | undefined;
}

/**
 * Wills of connected clients (MQTT 3.1.1 section 3.1.2.5), and those that wait for their delay (MQTT 5 section 3.1.3.2.2);
 * on disk, because edgecore may be killed before they are due.
 */
export class Wills {
  readonly #journal: Journal;
  readonly #nextRow: () => number;
  readonly #deadlines: Deadlines;
  readonly #byClient = new Map<string, StoredWill>();
  /** clients whose wills wait */
  readonly #waiting = new Set<string>();

  constructor(journal: Journal, nextRow: () => number, deadlines: Deadlines) {
    this.#journal = journal;
    this.#nextRow = nextRow;
    this.#deadlines = deadlines;
  }

  load(client: string, will: StoredWill): void {
    this.#byClient.set(client, will);
    if (will.dueAtMs !== undefined) this.#wait(client, will.dueAtMs);
  }

  put(client: string, will: Will): void {
    this.remove(client);
    const packet: Will = { ...will, clientId: clientIdOf(client) };
    const stored = { row: this.#nextRow(), packet };
    this.#byClient.set(client, stored);
    this.#journal.putWill(client, stored);
  }

  /** Seconds between the end of the connection and the publication; 0 without a will. */
  delayOf(client: string): number {
    return this.#byClient.get(client)?.packet.delaySeconds ?? 0;
  }

  /** Whether it waits for its delay. */
  isWaiting(client: string): boolean {
    return this.#waiting.has(client);
  }

  /** The connection has ended: it is published at a time, unless the client is back by then. */
  delay(client: string, dueAtMs: number): void {
    const will = this.#byClient.get(client);
    if (!will) return;
    const stored = { ...will, dueAtMs };
    this.#byClient.set(client, stored);
    this.#journal.putWill(client, stored);
    this.#wait(client, dueAtMs);
  }

  remove(client: string): void {
    this.take(client);
  }

  /** Removes and returns the will of a client. */
  take(client: string): Will | undefined {
    const will = this.#byClient.get(client);
    if (!will) return undefined;
    this.#byClient.delete(client);
    this.#waiting.delete(client);
    this.#journal.removePacket(will.row);
    return { ...will.packet, clientId: clientIdOf(client) };
  }

  /** Clients whose wills are to be published now. */
  due(nowMs: number): string[] {
    const due: string[] = [];
    for (const client of this.#waiting) {
      const atMs = this.#byClient.get(client)?.dueAtMs ?? 0;
      if (atMs <= nowMs) due.push(client);
      else this.#deadlines.note(atMs);
    }
    return due;
  }

  /** Clients that were connected when edgecore ended, with the delays of their wills, in seconds. */
  orphaned(): (readonly [client: string, delaySeconds: number])[] {
    return [...this.#byClient]
      .filter(([client]) => !this.#waiting.has(client))
      .map(([client, { packet }]) => [client, packet.delaySeconds]);
  }

  #wait(client: string, dueAtMs: number): void {
    this.#waiting.add(client);
    this.#deadlines.note(dueAtMs);
  }
}
