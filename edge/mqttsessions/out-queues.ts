import type { Journal } from "./journal.ts";
import { bytesOf, SessionQueue, type BrokerPacket, type Entry, type QoS } from "./session-queue.ts";
import type { Wanted } from "./wanted-index.ts";

export interface QueueLimits {
  /** messages kept for a client that is away */
  readonly queueSize: number;
  readonly isOnline: (client: string) => boolean;
  readonly onDropped: (client: string) => void;
}

/** A message on its way into the queues. */
export interface Made {
  readonly client: string;
  readonly entry: Entry;
}

/** What waits is bounded: a client that never acknowledges must not fill memory and disk. */
const mostInFlight = 50_000;
const mostQueueBytes = 8 * 1024 * 1024;
const mostBytes = 64 * 1024 * 1024;

/** What lasting sessions still have to get or to acknowledge, in memory and, with the journal's next commit, on disk. */
export class OutQueues {
  readonly #journal: Journal;
  readonly #limits: QueueLimits;
  readonly #nextRow: () => number;
  readonly #queues = new Map<string, SessionQueue>();
  #bytes = 0;

  constructor(journal: Journal, limits: QueueLimits, nextRow: () => number) {
    this.#journal = journal;
    this.#limits = limits;
    this.#nextRow = nextRow;
  }

  /** messages in all queues */
  get size(): number {
    return [...this.#queues.values()].reduce((sum, queue) => sum + queue.size, 0);
  }

  of(client: string): SessionQueue | undefined {
    return this.#queues.get(client);
  }

  load(client: string, entry: Entry): void {
    this.#queue(client).add(entry);
    this.#bytes += bytesOf(entry);
  }

  /**
   * Where there is no room even without the oldest, a session does without the message. The payload is copied: as it
   * came it holds on to all that was read with it.
   */
  enqueue(wanted: readonly Wanted[], packet: BrokerPacket): Made[] {
    if (wanted.length === 0) return [];
    const { topic = "", retain = false, brokerId = "", brokerCounter = 0 } = packet;
    const payload = Buffer.from(packet.payload ?? "");
    return wanted.flatMap(({ clientId: client, qos: most }): Made[] => {
      if (!this.#makeRoom(client, this.#queue(client), payload.length)) {
        this.#limits.onDropped(client);
        return [];
      }
      const common = { cmd: "publish", topic, payload, retain, brokerId, brokerCounter } as const;
      const qos = Math.min(most, packet.qos) as QoS;
      const entry: Entry = { row: this.#nextRow(), packet: { ...common, qos }, ready: false };
      this.load(client, entry);
      this.#journal.putPacket("out", client, entry);
      return [{ client, entry }];
    });
  }

  /** The commit that was to hold them failed, or what they belong to did. */
  discard(made: readonly Made[]): void {
    for (const { client, entry } of made) {
      if (!this.#queues.get(client)?.remove(entry)) continue;
      this.#bytes -= bytesOf(entry);
      this.#journal.retractPacket(entry.row);
    }
  }

  /**
   * The message goes out under this id.
   * @returns false when it is not to be sent: it is not there (any more), or under way already
   */
  assign(client: string, packet: BrokerPacket, messageId: number): Entry | undefined {
    const queue = this.#queues.get(client);
    const entry = queue?.findPacket(packet);
    if (!queue || !entry || entry.packet.messageId !== undefined) return undefined;
    queue.number(entry, messageId);
    if (entry.packet.qos === 2) this.#journal.putPacket("out", client, entry);
    return entry;
  }

  /** The client has the message of QoS 2: from now on PUBREL is sent in its place. @returns whether it was there */
  release(client: string, messageId: number | undefined): boolean {
    const entry = this.#queues.get(client)?.findMessage(messageId);
    if (!entry) return false;
    entry.packet = { ...entry.packet, cmd: "pubrel" };
    this.#journal.putPacket("out", client, entry);
    return true;
  }

  /** The message is acknowledged. @returns it, when it was there */
  finish(client: string, messageId: number | undefined): BrokerPacket | undefined {
    const queue = this.#queues.get(client);
    const entry = queue?.findMessage(messageId);
    if (!queue || !entry) return undefined;
    this.#remove(queue, entry);
    return entry.packet;
  }

  /** The client may not have it. */
  refuse(client: string, packet: BrokerPacket): void {
    const queue = this.#queues.get(client);
    const entry = queue?.findPacket(packet);
    if (queue && entry) this.#remove(queue, entry);
  }

  end(client: string): void {
    const queue = this.#queues.get(client);
    if (!queue) return;
    for (const entry of queue.entries()) this.#remove(queue, entry);
    this.#queues.delete(client);
  }

  #makeRoom(client: string, queue: SessionQueue, bytes: number): boolean {
    const most = this.#limits.isOnline(client) ? mostInFlight : this.#limits.queueSize;
    while (queue.size >= most || queue.bytes + bytes > mostQueueBytes)
      if (!this.#dropOldest(client, queue)) return false;
    while (this.#bytes + bytes > mostBytes) {
      const [owner, largest] = this.#largest();
      if (!largest || !this.#dropOldest(owner, largest)) return false;
    }
    return true;
  }

  #dropOldest(client: string, queue: SessionQueue): boolean {
    const oldest = queue.oldest();
    if (!oldest) return false;
    this.#remove(queue, oldest);
    this.#limits.onDropped(client);
    return true;
  }

  #largest(): readonly [string, SessionQueue | undefined] {
    let found: readonly [string, SessionQueue | undefined] = ["", undefined];
    for (const [client, queue] of this.#queues)
      if (queue.bytes > (found[1]?.bytes ?? 0)) found = [client, queue];
    return found;
  }

  #remove(queue: SessionQueue, entry: Entry): void {
    if (!queue.remove(entry)) return;
    this.#bytes -= bytesOf(entry);
    this.#journal.removePacket(entry.row);
  }

  #queue(client: string): SessionQueue {
    const queue = this.#queues.get(client) ?? new SessionQueue();
    this.#queues.set(client, queue);
    return queue;
  }
}
