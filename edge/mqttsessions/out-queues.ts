import type { Journal } from "./journal.ts";
import { SessionQueue, type BrokerPacket, type Entry, type QoS } from "./session-queue.ts";
import type { Wanted } from "./wanted-index.ts";

export interface QueueLimits {
  /** messages kept for a client that is away */
  readonly queueSize: number;
  readonly isOnline: (client: string) => boolean;
  readonly onDropped: (client: string) => void;
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

  /** The payload is copied: as it came it holds on to all that was read with it. */
  enqueue(wanted: readonly Wanted[], packet: BrokerPacket): void {
    const { topic = "", brokerId = "", brokerCounter = 0 } = packet;
    const payload = Buffer.from(packet.payload ?? "");
    for (const { clientId, qos: most } of wanted) {
      const queue = this.#queue(clientId);
      if (queue.findPacket(packet)) continue;
      this.#makeRoom(clientId, queue, payload.length);
      const qos = Math.min(most, packet.qos) as QoS;
      const common = { cmd: "publish", topic, payload, retain: false } as const;
      const entry: Entry = { row: this.#nextRow(), packet: { ...common, qos, brokerId, brokerCounter } };
      this.load(clientId, entry);
      this.#journal.putPacket("out", clientId, entry);
    }
  }

  /** The message goes out under this id. @returns whether that has to be on disk first (QoS 2) */
  assign(client: string, packet: BrokerPacket, messageId: number): boolean {
    const queue = this.#queues.get(client);
    const entry = queue?.findPacket(packet);
    if (!queue || !entry) return false;
    queue.number(entry, messageId);
    if (entry.packet.qos < 2) return false;
    this.#journal.putPacket("out", client, entry);
    return true;
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

  end(client: string): void {
    const queue = this.#queues.get(client);
    if (!queue) return;
    for (const entry of queue.entries()) this.#remove(queue, entry);
    this.#queues.delete(client);
  }

  #makeRoom(client: string, queue: SessionQueue, bytes: number): void {
    const most = this.#limits.isOnline(client) ? mostInFlight : this.#limits.queueSize;
    for (let oldest = queue.oldest(); oldest; oldest = queue.oldest()) {
      const full = queue.size >= most || queue.bytes + bytes > mostQueueBytes;
      if (!full && this.#bytes + bytes <= mostBytes) return;
      this.#remove(queue, oldest);
      this.#limits.onDropped(client);
    }
  }

  #remove(queue: SessionQueue, entry: Entry): void {
    queue.remove(entry);
    this.#bytes -= bytesOf(entry);
    this.#journal.removePacket(entry);
  }

  #queue(client: string): SessionQueue {
    const queue = this.#queues.get(client) ?? new SessionQueue();
    this.#queues.set(client, queue);
    return queue;
  }
}

function bytesOf({ packet }: Entry): number {
  return packet.payload?.length ?? 0;
}
