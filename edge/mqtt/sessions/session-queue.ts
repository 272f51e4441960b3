import type { BrokerPacket } from "#edge/mqtt/packet";

export interface QueueEntry {
  readonly row: number;
  packet: BrokerPacket;
  /** Whether it may be sent: it is on disk, and those who listen are being told. */
  ready: boolean;
}

/** What one session still has to get, in order; found by packet identity and by message id without a search. */
export class SessionQueue {
  readonly client: string;
  readonly #byRow = new Map<number, QueueEntry>();
  readonly #byPacket = new Map<string, QueueEntry>();
  readonly #byMessageId = new Map<number, QueueEntry>();
  /**
   * Those that may be given up, oldest first. A message of QoS 2 under way may not: its id would go to another one, which
   * the client would take for a repetition.
   */
  readonly #loose = new Map<number, QueueEntry>();

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

  entries(): IterableIterator<QueueEntry> {
    return this.#byRow.values();
  }

  oldest(): QueueEntry | undefined {
    return this.#byRow.values().next().value;
  }

  oldestLoose(): QueueEntry | undefined {
    return this.#loose.values().next().value;
  }

  add(entry: QueueEntry): void {
    this.#byRow.set(entry.row, entry);
    this.bytes += payloadBytes(entry);
    if (isLoose(entry)) {
      this.#loose.set(entry.row, entry);
      this.looseBytes += payloadBytes(entry);
    }
    this.#byPacket.set(identity(entry.packet), entry);
    if (entry.packet.messageId !== undefined) this.#byMessageId.set(entry.packet.messageId, entry);
  }

  findPacket(packet: BrokerPacket): QueueEntry | undefined {
    return this.#byPacket.get(identity(packet));
  }

  findMessage(messageId: number | undefined): QueueEntry | undefined {
    return messageId === undefined ? undefined : this.#byMessageId.get(messageId);
  }

  number(entry: QueueEntry, messageId: number): void {
    this.#unnumber(entry);
    entry.packet.messageId = messageId;
    this.#byMessageId.set(messageId, entry);
    if (!isLoose(entry)) this.#fasten(entry);
  }

  /** @returns whether it was there */
  remove(entry: QueueEntry): boolean {
    if (!this.#byRow.delete(entry.row)) return false;
    this.bytes -= payloadBytes(entry);
    this.#fasten(entry);
    this.#byPacket.delete(identity(entry.packet));
    this.#unnumber(entry);
    return true;
  }

  #fasten(entry: QueueEntry): void {
    if (this.#loose.delete(entry.row)) this.looseBytes -= payloadBytes(entry);
  }

  #unnumber({ packet, row }: QueueEntry): void {
    if (packet.messageId === undefined) return;
    if (this.#byMessageId.get(packet.messageId)?.row === row) this.#byMessageId.delete(packet.messageId);
  }
}

export function payloadBytes({ packet }: QueueEntry): number {
  return packet.payload?.length ?? 0;
}

function isLoose({ packet }: QueueEntry): boolean {
  return packet.qos < 2 || packet.messageId === undefined;
}

function identity(packet: BrokerPacket): string {
  return `${packet.brokerId}:${packet.brokerCounter}`;
}
