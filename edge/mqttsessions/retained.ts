import { topicMatches } from "#shared/message";
import type { RetainedRow } from "#edge/store";
import type { Journal } from "./journal.ts";
import type { BrokerPacket } from "./session-queue.ts";

/** A client must not fill memory and disk. */
const mostRetained = 100_000;
const mostRetainedBytes = 64 * 1024 * 1024;

/** The last retained message of each topic, in memory and, but for `$SYS`, on disk. */
export class Retained {
  readonly #journal: Journal;
  readonly #packets = new Map<string, BrokerPacket>();
  readonly #onRefused: (topic: string) => void;
  #bytes = 0;

  constructor(journal: Journal, rows: Iterable<RetainedRow>, onRefused: (topic: string) => void) {
    this.#journal = journal;
    this.#onRefused = onRefused;
    for (const { topic, qos, payload } of rows)
      this.#set(topic, retainedPacket(topic, qos, Buffer.from(payload)));
  }

  get size(): number {
    return this.#packets.size;
  }

  /** Takes a retained message over, an empty one as the end of what was there; on disk with the next commit. */
  put({ topic = "", qos, payload: given = "" }: BrokerPacket): void {
    const payload = Buffer.from(given);
    const durable = !topic.startsWith("$SYS/");
    if (payload.length === 0) {
      this.#bytes -= this.#sizeOf(topic);
      if (this.#packets.delete(topic) && durable)
        this.#journal.add(`r${topic}`, (to) => to.removeRetained(topic));
      return;
    }
    const bytes = this.#bytes - this.#sizeOf(topic) + topic.length + payload.length;
    if (bytes > mostRetainedBytes || (!this.#packets.has(topic) && this.#packets.size >= mostRetained))
      return this.#onRefused(topic);
    this.#set(topic, retainedPacket(topic, qos, payload));
    if (durable) this.#journal.add(`r${topic}`, (to) => to.putRetained({ topic, qos, payload }));
  }

  #set(topic: string, packet: BrokerPacket): void {
    this.#bytes -= this.#sizeOf(topic);
    this.#packets.set(topic, packet);
    this.#bytes += this.#sizeOf(topic);
  }

  #sizeOf(topic: string): number {
    const payload = this.#packets.get(topic)?.payload;
    return payload === undefined ? 0 : topic.length + payload.length;
  }

  /** What the filters cover, each at the QoS that was granted for its filter. */
  *match(filters: readonly string[], granted: ReadonlyMap<string, number>): Generator<BrokerPacket> {
    for (const filter of filters) {
      const most = granted.get(filter) ?? 2;
      for (const packet of this.#coveredBy(filter))
        yield { ...packet, qos: Math.min(packet.qos, most) as 0 | 1 | 2 };
    }
  }

  *#coveredBy(filter: string): Generator<BrokerPacket> {
    if (!/[+#]/.test(filter)) {
      const exact = this.#packets.get(filter);
      if (exact) yield exact;
      return;
    }
    for (const [topic, packet] of this.#packets) if (topicMatches(filter, topic)) yield packet;
  }
}

function retainedPacket(topic: string, qos: number, payload: Buffer): BrokerPacket {
  return { cmd: "publish", topic, qos: qos as 0 | 1 | 2, retain: true, payload };
}
