import { encodeIdentifiers, lowerQos, type BrokerPacket } from "#edge/mqtt/packet";
import type { BrokerClock, Journal } from "#edge/mqtt/stored";
import { QueuesBySize } from "./queues-by-size.ts";
import { payloadBytes, SessionQueue, type QueueEntry } from "./session-queue.ts";
import type { SessionTarget } from "./subscription-index.ts";

export interface QueueLimits {
  /** messages kept for a client that is offline */
  readonly queueSize: number;
  readonly isOnline: (client: string) => boolean;
  readonly onDropped: (client: string) => void;
}

export interface QueueParts {
  readonly nextRow: () => number;
  readonly clock: BrokerClock;
}

/** A message in the queue of a session. */
export interface QueuedMessage {
  readonly client: string;
  readonly entry: QueueEntry;
}

/** Messages queued for a client that is connected: some seconds of a fast publisher. */
const mostQueuedOnline = 50_000;
/** Bytes of a queue: a client that never acknowledges must not fill memory and disk. */
const mostQueueBytes = 8 * 1024 * 1024;
/** Bytes of all queues: eight full ones. */
const mostBytes = 64 * 1024 * 1024;
/** Beyond `mostBytes`, for queues of at most `mostSmallBytes`: clients that acknowledge are served while others are behind. */
const reservedBytes = 16 * 1024 * 1024;
const mostSmallBytes = 64 * 1024;

/** Messages that persistent sessions have not acknowledged, in memory and, with the journal's next commit, on disk. */
export class SessionQueues {
  readonly #journal: Journal;
  readonly #limits: QueueLimits;
  readonly #nextRow: () => number;
  readonly #clock: BrokerClock;
  /** of all messages that were queued */
  #lastExpiryMs = 0;
  readonly #queues = new Map<string, SessionQueue>();
  readonly #bySize = new QueuesBySize();
  #bytes = 0;
  #droppableBytes = 0;

  constructor(journal: Journal, limits: QueueLimits, { nextRow, clock }: QueueParts) {
    this.#journal = journal;
    this.#limits = limits;
    this.#nextRow = nextRow;
    this.#clock = clock;
  }

  /** messages in all queues */
  get size(): number {
    return [...this.#queues.values()].reduce((sum, queue) => sum + queue.size, 0);
  }

  /** Whether a queued message may expire yet. */
  get expires(): boolean {
    return this.#lastExpiryMs > this.#clock.nowMs() && this.size > 0;
  }

  get(client: string): SessionQueue | undefined {
    return this.#queues.get(client);
  }

  /** How full the queue of a connected client is, 0 to 1; for a queue that is not small, how full all of them are if more. */
  fill(client: string): number {
    const { bytes, size } = this.#queues.get(client) ?? { bytes: 0, size: 0 };
    const inAll = bytes > mostSmallBytes ? this.#bytes / mostBytes : 0;
    return Math.max(bytes / mostQueueBytes, size / mostQueuedOnline, inAll);
  }

  load(client: string, entry: QueueEntry): void {
    this.#lastExpiryMs = Math.max(this.#lastExpiryMs, entry.packet.expiresAtMs ?? 0);
    this.#change(this.#queue(client), (queue) => queue.add(entry));
  }

  /**
   * Queues a message for each session, and drops the oldest ones to make room. If there is no room even so, the
   * session does not get the message. The payload is copied, because it is a view of the buffer that was read with it.
   */
  enqueue(targets: readonly SessionTarget[], packet: BrokerPacket): QueuedMessage[] {
    if (targets.length === 0) return [];
    const payload = Buffer.from(packet.payload ?? "");
    if (packet.expiresAtMs !== undefined) this.#clock.note();
    return targets.flatMap((target): QueuedMessage[] => {
      const { client } = target;
      const entry: QueueEntry = {
        row: this.#nextRow(),
        packet: queued(packet, payload, target),
        ready: false,
      };
      if (!this.#makeRoom(this.#queue(client), payloadBytes(entry))) {
        this.#limits.onDropped(client);
        return [];
      }
      this.load(client, entry);
      this.#journal.putPacket("out", client, entry);
      return [{ client, entry }];
    });
  }

  /** Removes messages whose commit failed. */
  discard(queued: readonly QueuedMessage[]): void {
    for (const { client, entry } of queued) {
      const queue = this.#queues.get(client);
      if (!queue || !this.#change(queue, () => queue.remove(entry))) continue;
      this.#journal.retractPacket(entry.row);
    }
  }

  /**
   * Gives a message a message id to be sent under.
   * @returns undefined when it is not to be sent: it is no longer queued, or already in flight
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

  /** The client has received the message of QoS 2 (PUBREC): PUBREL replaces it. @returns whether it was queued */
  release(client: string, messageId: number | undefined): boolean {
    const entry = this.#queues.get(client)?.findMessage(messageId);
    if (!entry) return false;
    entry.packet = { ...entry.packet, cmd: "pubrel" };
    this.#journal.putPacket("out", client, entry);
    return true;
  }

  /** The message is acknowledged. @returns it, if it was queued */
  finish(client: string, messageId: number | undefined): BrokerPacket | undefined {
    const queue = this.#queues.get(client);
    const entry = queue?.findMessage(messageId);
    if (!queue || !entry) return undefined;
    this.#remove(queue, entry);
    return entry.packet;
  }

  /** Removes a message that the client may not receive. */
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
    const most = this.#limits.isOnline(queue.client) ? mostQueuedOnline : this.#limits.queueSize;
    const isSmall = queue.bytes + bytes <= mostSmallBytes;
    const mostInAll = isSmall ? mostBytes + reservedBytes : mostBytes;
    if (queue.size - queue.droppableSize >= most) return false;
    if (!canTake(queue, bytes) || this.#bytes - this.#droppableBytes + bytes > mostInAll) return false;
    while (queue.size >= most || !hasRoom(queue, bytes)) if (!this.#dropOldest(queue)) return false;
    while (this.#bytes + bytes > mostInAll) if (!this.#dropOldest(this.#largest(queue))) return false;
    return true;
  }

  /** The largest queue, or `queue` itself: no queue drops a message for a larger one. */
  #largest(queue: SessionQueue): SessionQueue {
    const largest = this.#bySize.largest();
    return largest && largest.bytes >= queue.bytes ? largest : queue;
  }

  #dropOldest(queue: SessionQueue): boolean {
    const oldest = queue.oldestDroppable();
    if (!oldest) return false;
    this.#remove(queue, oldest);
    this.#limits.onDropped(queue.client);
    return true;
  }

  #remove(queue: SessionQueue, entry: QueueEntry): void {
    if (this.#change(queue, () => queue.remove(entry))) this.#journal.removePacket(entry.row);
  }

  #change<T>(queue: SessionQueue, change: (queue: SessionQueue) => T): T {
    const { bytes, droppableBytes } = queue;
    const result = change(queue);
    this.#bytes += queue.bytes - bytes;
    this.#droppableBytes += queue.droppableBytes - droppableBytes;
    this.#bySize.place(queue);
    return result;
  }

  #queue(client: string): SessionQueue {
    const queue = this.#queues.get(client) ?? new SessionQueue(client);
    this.#queues.set(client, queue);
    return queue;
  }
}

/** Whether there is room in the queue, or would be without its droppable messages. */
function canTake(queue: SessionQueue, bytes: number): boolean {
  if (bytes > mostQueueBytes) return queue.size === 0;
  return bytesBeyondLarge(queue) - queue.droppableBytes + bytes <= mostQueueBytes;
}

function hasRoom(queue: SessionQueue, bytes: number): boolean {
  return queue.size === 0 || bytesBeyondLarge(queue) + bytes <= mostQueueBytes;
}

/** A message larger than the limit is accepted by an empty queue and does not count against those that follow. */
function bytesBeyondLarge(queue: SessionQueue): number {
  const oldest = queue.oldest();
  const large = oldest && payloadBytes(oldest) > mostQueueBytes ? payloadBytes(oldest) : 0;
  return queue.bytes - large;
}

function queued(packet: BrokerPacket, payload: Buffer, target: SessionTarget): BrokerPacket {
  const { topic = "", brokerId = "", brokerCounter = 0, properties, expiresAtMs } = packet;
  const { qos: granted, keepsRetain = false, identifiers } = target;
  return {
    cmd: "publish",
    topic,
    payload,
    qos: lowerQos(packet.qos, granted),
    retain: packet.retain === true && keepsRetain,
    brokerId,
    brokerCounter,
    properties: identifiers
      ? Buffer.concat([properties ?? Buffer.alloc(0), encodeIdentifiers(identifiers)])
      : properties,
    expiresAtMs,
  };
}
