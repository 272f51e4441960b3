import type { BrokerPacket } from "#edge/mqtt/packet";

export interface Entry {
  readonly row: number;
  packet: BrokerPacket;
  /** Whether it may be sent: it is on disk, and those who listen are being told. */
  ready: boolean;
}

/** What one session still has to get, in order; found by packet identity and by message id without a search. */
export class SessionQueue {
  readonly client: string;
  readonly #byRow = new Map<number, Entry>();
  readonly #byPacket = new Map<string, Entry>();
  readonly #byMessageId = new Map<number, Entry>();
  /**
   * Those that may be given up, oldest first. A message of QoS 2 under way may not: its id would go to another one, which
   * the client would take for a repetition.
   */
  readonly #loose = new Map<number, Entry>();

  /** of the payloads */
  bytes = 0;
  /** of those that may be given up */
  looseBytes = 0;

  constructor(client: string) {
    this.client = client;
  }

  get size(): number {
    return this.#byRow.size;
  }

  /** of those that may be given up */
  get looseSize(): number {
    return this.#loose.size;
  }

  entries(): IterableIterator<Entry> {
    return this.#byRow.values();
  }

  oldest(): Entry | undefined {
    return this.#byRow.values().next().value;
  }

  oldestLoose(): Entry | undefined {
    return this.#loose.values().next().value;
  }

  add(entry: Entry): void {
    this.#byRow.set(entry.row, entry);
    this.bytes += bytesOf(entry);
    if (isLoose(entry)) {
      this.#loose.set(entry.row, entry);
      this.looseBytes += bytesOf(entry);
    }
    this.#byPacket.set(identity(entry.packet), entry);
    if (entry.packet.messageId !== undefined) this.#byMessageId.set(entry.packet.messageId, entry);
  }

  findPacket(packet: BrokerPacket): Entry | undefined {
    return this.#byPacket.get(identity(packet));
  }

  findMessage(messageId: number | undefined): Entry | undefined {
    return messageId === undefined ? undefined : this.#byMessageId.get(messageId);
  }

  number(entry: Entry, messageId: number): void {
    this.#unnumber(entry);
    entry.packet.messageId = messageId;
    this.#byMessageId.set(messageId, entry);
    if (!isLoose(entry)) this.#fasten(entry);
  }

  /** @returns whether it was there */
  remove(entry: Entry): boolean {
    if (!this.#byRow.delete(entry.row)) return false;
    this.bytes -= bytesOf(entry);
    this.#fasten(entry);
    this.#byPacket.delete(identity(entry.packet));
    this.#unnumber(entry);
    return true;
  }

  #fasten(entry: Entry): void {
    if (this.#loose.delete(entry.row)) this.looseBytes -= bytesOf(entry);
  }

  #unnumber({ packet, row }: Entry): void {
    if (packet.messageId === undefined) return;
    if (this.#byMessageId.get(packet.messageId)?.row === row) this.#byMessageId.delete(packet.messageId);
  }
}

export function bytesOf({ packet }: Entry): number {
  return packet.payload?.length ?? 0;
}

function isLoose({ packet }: Entry): boolean {
  return packet.qos < 2 || packet.messageId === undefined;
}

function identity(packet: BrokerPacket): string {
  return `${packet.brokerId}:${packet.brokerCounter}`;
}
