import type { Journal } from "./journal.ts";

/** Ids of messages of QoS 2 a client has sent and not released yet: a repetition of one says nothing new. */
export interface Inbox {
  /** by id: the row on disk, 0 where the session does not last */
  readonly taken: Map<number, number>;
  /** Messages being taken; resolves to whether it went well. */
  readonly arriving: Map<number, Promise<boolean>>;
}

export function newInbox(): Inbox {
  return { taken: new Map(), arriving: new Map() };
}

/** The inboxes of lasting sessions. */
export class Inboxes {
  readonly #journal: Journal;
  readonly #nextRow: () => number;
  readonly #byClient = new Map<string, Inbox>();

  constructor(journal: Journal, nextRow: () => number) {
    this.#journal = journal;
    this.#nextRow = nextRow;
  }

  of(client: string): Inbox {
    const inbox = this.#byClient.get(client) ?? newInbox();
    this.#byClient.set(client, inbox);
    return inbox;
  }

  load(client: string, messageId: number, row: number): void {
    this.of(client).taken.set(messageId, row);
  }

  /** Notes the id with the next commit. @returns the row it will have */
  note(client: string, messageId: number): number {
    const row = this.#nextRow();
    const packet = { cmd: "publish", qos: 2, messageId } as const;
    this.#journal.putPacket("in", client, { row, packet });
    return row;
  }

  /** The client has released the message. */
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
