import type { BrokerPacket, QoS } from "#edge/mqtt/packet";
import type { Journal } from "./journal.ts";
import { QueuesBySize } from "./queues-by-size.ts";
import { payloadBytes, SessionQueue, type QueueEntry } from "./session-queue.ts";
import type { SessionSubscription } from "./subscription-index.ts";

export interface QueueLimits {
  /** messages kept for a client that is away */
  readonly queueSize: number;
  readonly isOnline: (client: string) => boolean;
  readonly onDropped: (client: string) => void;
}

/** A message on its way into the queues. */
export interface QueuedMessage {
  readonly client: string;
  readonly entry: QueueEntry;
}

/** What waits is bounded: a client that never acknowledges must not fill memory and disk. */
const mostInFlight = 50_000;
const mostQueueBytes = 8 * 1024 * 1024;
const mostBytes = 64 * 1024 * 1024;
/** Beyond `mostBytes`, for queues that stay small: those who acknowledge go on while others hold all the rest. */
const reservedBytes = 16 * 1024 * 1024;
const mostSmallBytes = 64 * 1024;

/** What lasting sessions still have to get or to acknowledge, in memory and, with the journal's next commit, on disk. */
export class SessionQueues {
  readonly #journal: Journal;
  readonly #limits: QueueLimits;
  readonly #nextRow: () => number;
  readonly #queues = new Map<string, SessionQueue>();
  readonly #bySize = new QueuesBySize();
  #bytes = 0;
  #looseBytes = 0;

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

  /** How full the queue of a connected client is, 0 to 1, or all of them where it is no small one. */
  fill(client: string): number {
    const { bytes, size } = this.#queues.get(client) ?? { bytes: 0, size: 0 };
    const inAll = bytes > mostSmallBytes ? this.#bytes / mostBytes : 0;
    return Math.max(bytes / mostQueueBytes, size / mostInFlight, inAll);
  }

  load(client: string, entry: QueueEntry): void {
    this.#change(this.#queue(client), (queue) => queue.add(entry));
  }

  /**
   * Where there is no room even without the oldest, a session does without the message. The payload is copied: as it
   * came it holds on to all that was read with it.
   */
  enqueue(wanted: readonly SessionSubscription[], packet: BrokerPacket): QueuedMessage[] {
    if (wanted.length === 0) return [];
    const { topic = "", retain = false, brokerId = "", brokerCounter = 0 } = packet;
    const payload = Buffer.from(packet.payload ?? "");
    return wanted.flatMap(({ clientId: client, qos: most }): QueuedMessage[] => {
      if (!this.#makeRoom(this.#queue(client), payload.length)) {
        this.#limits.onDropped(client);
        return [];
      }
      const common = { cmd: "publish", topic, payload, retain, brokerId, brokerCounter } as const;
      const qos = Math.min(most, packet.qos) as QoS;
      const entry: QueueEntry = { row: this.#nextRow(), packet: { ...common, qos }, ready: false };
      this.load(client, entry);
      this.#journal.putPacket("out", client, entry);
      return [{ client, entry }];
    });
  }

  /** The commit that was to hold them failed, or what they belong to did. */
  discard(made: readonly QueuedMessage[]): void {
    for (const { client, entry } of made) {
      const queue = this.#queues.get(client);
      if (!queue || !this.#change(queue, () => queue.remove(entry))) continue;
      this.#journal.retractPacket(entry.row);
    }
  }

  /**
   * The message goes out under this id.
   * @returns false when it is not to be sent: it is not there (any more), or under way already
   */
  assign(client: string, packet: BrokerPacket, messageId: number): QueueEntry | undefined {
    const queue = this.#queues.get(client);
    const entry = queue?.findPacket(packet);
    if (!queue || !entry || entry.packet.messageId !== undefined) return undefined;
    this.#change(queue, () => queue.number(entry, messageId));
    if (entry.packet.qos === 2) this.#journal.putPacket("out", client, entry);
    else this.#journal.numberPacket(entry);
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

  #makeRoom(queue: SessionQueue, bytes: number): boolean {
    const most = this.#limits.isOnline(queue.client) ? mostInFlight : this.#limits.queueSize;
    const isSmall = queue.bytes + bytes <= mostSmallBytes;
    const mostInAll = isSmall ? mostBytes + reservedBytes : mostBytes;
    if (queue.size - queue.looseSize >= most) return false;
    if (!canTake(queue, bytes) || this.#bytes - this.#looseBytes + bytes > mostInAll) return false;
    while (queue.size >= most || !hasRoom(queue, bytes)) if (!this.#dropOldest(queue)) return false;
    while (this.#bytes + bytes > mostInAll) if (!this.#dropOldest(this.#giver(queue))) return false;
    return true;
  }

  /** Nobody gives up a message for one who has more. */
  #giver(queue: SessionQueue): SessionQueue {
    const largest = this.#bySize.largest();
    return largest && largest.bytes >= queue.bytes ? largest : queue;
  }

  #dropOldest(queue: SessionQueue): boolean {
    const oldest = queue.oldestLoose();
    if (!oldest) return false;
    this.#remove(queue, oldest);
    this.#limits.onDropped(queue.client);
    return true;
  }

  #remove(queue: SessionQueue, entry: QueueEntry): void {
    if (this.#change(queue, () => queue.remove(entry))) this.#journal.removePacket(entry.row);
  }

  #change<T>(queue: SessionQueue, change: (queue: SessionQueue) => T): T {
    const { bytes, looseBytes } = queue;
    const result = change(queue);
    this.#bytes += queue.bytes - bytes;
    this.#looseBytes += queue.looseBytes - looseBytes;
    this.#bySize.place(queue);
    return result;
  }

  #queue(client: string): SessionQueue {
    const queue = this.#queues.get(client) ?? new SessionQueue(client);
    this.#queues.set(client, queue);
    return queue;
  }
}

/** @returns whether there is room in the queue, or would be without all that may be given up */
function canTake(queue: SessionQueue, bytes: number): boolean {
  if (bytes > mostQueueBytes) return queue.size === 0;
  return bytesBeyondLarge(queue) - queue.looseBytes + bytes <= mostQueueBytes;
}

function hasRoom(queue: SessionQueue, bytes: number): boolean {
  return queue.size === 0 || bytesBeyondLarge(queue) + bytes <= mostQueueBytes;
}

/** A message larger than a queue may be is taken into an empty one, and is not counted against those that follow. */
function bytesBeyondLarge(queue: SessionQueue): number {
  const oldest = queue.oldest();
  const large = oldest && payloadBytes(oldest) > mostQueueBytes ? payloadBytes(oldest) : 0;
  return queue.bytes - large;
}
