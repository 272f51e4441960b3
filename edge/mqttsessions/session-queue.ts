export type QoS = 0 | 1 | 2;

/** A packet as aedes hands it over: of a publication, or the PUBREL that follows one of QoS 2. */
export interface BrokerPacket {
  readonly cmd: "publish" | "pubrel";
  readonly topic?: string;
  readonly payload?: Buffer | string;
  qos: QoS;
  readonly retain?: boolean;
  dup?: boolean;
  messageId?: number | undefined;
  brokerId?: string;
  brokerCounter?: number;
  clientId?: string;
}

export interface Entry {
  readonly row: number;
  packet: BrokerPacket;
}

/** What one session still has to get, in order; found by packet identity and by message id without a search. */
export class SessionQueue {
  readonly #byRow = new Map<number, Entry>();
  readonly #byPacket = new Map<string, Entry>();
  readonly #byMessageId = new Map<number, Entry>();

  /** of the payloads */
  bytes = 0;

  get size(): number {
    return this.#byRow.size;
  }

  entries(): Entry[] {
    return [...this.#byRow.values()];
  }

  oldest(): Entry | undefined {
    return this.#byRow.values().next().value;
  }

  /** What was never sent, in order. */
  unsent(): BrokerPacket[] {
    return this.entries()
      .map(({ packet }) => packet)
      .filter(({ messageId }) => messageId === undefined);
  }

  add(entry: Entry): void {
    this.#byRow.set(entry.row, entry);
    this.bytes += entry.packet.payload?.length ?? 0;
    this.#byPacket.set(identity(entry.packet), entry);
    if (entry.packet.messageId !== undefined) this.#byMessageId.set(entry.packet.messageId, entry);
  }

  findPacket(packet: BrokerPacket): Entry | undefined {
    return this.#byPacket.get(identity(packet));
  }

  findMessage(messageId: number | undefined): Entry | undefined {
    return messageId === undefined ? undefined : this.#byMessageId.get(messageId);
  }

  number(entry: Entry, messageId: number | undefined): void {
    this.#unnumber(entry);
    entry.packet.messageId = messageId;
    if (messageId !== undefined) this.#byMessageId.set(messageId, entry);
  }

  remove(entry: Entry): void {
    if (this.#byRow.delete(entry.row)) this.bytes -= entry.packet.payload?.length ?? 0;
    this.#byPacket.delete(identity(entry.packet));
    this.#unnumber(entry);
  }

  #unnumber({ packet, row }: Entry): void {
    if (packet.messageId === undefined) return;
    if (this.#byMessageId.get(packet.messageId)?.row === row) this.#byMessageId.delete(packet.messageId);
  }
}

function identity(packet: BrokerPacket): string {
  return `${packet.brokerId}:${packet.brokerCounter}`;
}
