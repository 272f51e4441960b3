import type { BrokerPacket } from "#edge/mqtt/packet";

export interface QueueEntry {
  readonly row: number;
  packet: BrokerPacket;
  /** Whether it may be sent: it is on disk, and connected subscribers are being sent it. */
  ready: boolean;
}

/** Messages that one session has not acknowledged, in order, found by packet identity and by message id. */
export class SessionQueue {
  readonly client: string;
  readonly #byRow = new Map<number, QueueEntry>();
  readonly #byPacket = new Map<string, QueueEntry>();
  readonly #byMessageId = new Map<number, QueueEntry>();
  /**
   * Droppable messages, oldest first. A message of QoS 2 in flight is not droppable: its id would be given to another
   * message, which the client would take for a repetition.
   */
  readonly #droppable = new Map<number, QueueEntry>();

  /** bytes of all payloads and properties */
  bytes = 0;
  /** bytes of the payloads of droppable messages */
  droppableBytes = 0;

  constructor(client: string) {
    this.client = client;
  }

  get size(): number {
    return this.#byRow.size;
  }

  /** number of droppable messages */
  get droppableSize(): number {
    return this.#droppable.size;
  }

  entries(): IterableIterator<QueueEntry> {
    return this.#byRow.values();
  }

  oldest(): QueueEntry | undefined {
    return this.#byRow.values().next().value;
  }

  oldestDroppable(): QueueEntry | undefined {
    return this.#droppable.values().next().value;
  }

  add(entry: QueueEntry): void {
    this.#byRow.set(entry.row, entry);
    this.bytes += payloadBytes(entry);
    if (isDroppable(entry)) {
      this.#droppable.set(entry.row, entry);
      this.droppableBytes += payloadBytes(entry);
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
    if (!isDroppable(entry)) this.#keep(entry);
  }

  /** @returns whether it was there */
  remove(entry: QueueEntry): boolean {
    if (!this.#byRow.delete(entry.row)) return false;
    this.bytes -= payloadBytes(entry);
    this.#keep(entry);
    this.#byPacket.delete(identity(entry.packet));
    this.#unnumber(entry);
    return true;
  }

  #keep(entry: QueueEntry): void {
    if (this.#droppable.delete(entry.row)) this.droppableBytes -= payloadBytes(entry);
  }

  #unnumber({ packet, row }: QueueEntry): void {
    if (packet.messageId === undefined) return;
    if (this.#byMessageId.get(packet.messageId)?.row === row) this.#byMessageId.delete(packet.messageId);
  }
}

export function payloadBytes({ packet }: QueueEntry): number {
  return (packet.payload?.length ?? 0) + (packet.properties?.length ?? 0);
}

function isDroppable({ packet }: QueueEntry): boolean {
  return packet.qos < 2 || packet.messageId === undefined;
}

function identity(packet: BrokerPacket): string {
  return `${packet.brokerId}:${packet.brokerCounter}`;
}
