import type { Journal } from "./journal.ts";

/**
 * Ids of messages of QoS 2 that a client has sent and not released: a PUBLISH with one of them is a repetition (MQTT 3.1.1
 * section 4.3.3).
 */
export interface Inbox {
  /** row on disk by message id, 0 for a clean session */
  readonly taken: Map<number, number>;
  /** Messages being stored; resolves to whether that succeeded. */
  readonly arriving: Map<number, Promise<boolean>>;
}

export function newInbox(): Inbox {
  return { taken: new Map(), arriving: new Map() };
}

/** The inboxes of persistent sessions. */
export class Inboxes {
  readonly #journal: Journal;
  readonly #nextRow: () => number;
  readonly #byClient = new Map<string, Inbox>();

  constructor(journal: Journal, nextRow: () => number) {
    this.#journal = journal;
    this.#nextRow = nextRow;
  }

  get(client: string): Inbox {
    const inbox = this.#byClient.get(client) ?? newInbox();
    this.#byClient.set(client, inbox);
    return inbox;
  }

  load(client: string, messageId: number, row: number): void {
    this.get(client).taken.set(messageId, row);
  }

  /** Adds the id to the next commit. @returns its row */
  add(client: string, messageId: number): number {
    const row = this.#nextRow();
    const packet = { cmd: "publish", qos: 2, messageId } as const;
    this.#journal.putPacket("in", client, { row, packet });
    return row;
  }

  /** The client has released the message (PUBREL). */
  release(client: string, messageId: number): void {
    const inbox = this.#byClient.get(client);
    const row = inbox?.taken.get(messageId);
    if (inbox && row !== undefined) {
      inbox.taken.delete(messageId);
      this.#journal.removePacket(row);
    }
  }

  end(client: string): void {
    const inbox = this.#byClient.get(client);
    for (const row of inbox?.taken.values() ?? []) this.#journal.removePacket(row);
    this.#byClient.delete(client);
  }
}
