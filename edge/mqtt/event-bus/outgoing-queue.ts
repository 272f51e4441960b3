import type { Logger } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import type { OutgoingRow, Store } from "#edge/store";

export interface ExternalQueueParts {
  readonly store: Pick<Store, "mqttOutgoing" | "transaction">;
  readonly log: Logger;
}

interface Size {
  readonly entries: number;
  readonly bytes: number;
}

/** Messages and bytes kept while the broker is offline (docs/mqtt.md); the oldest are dropped beyond either. */
const mostKept = 10_000;
const mostKeptBytes = 64_000_000;
/** Rows examined at a time when the oldest are dropped. */
const page = 500;

/**
 * The queue of messages for the external broker. New and acknowledged ones wait for the next commit, the others are on
 * disk. A commit that fails changes nothing: the next one repeats it.
 */
export class ExternalOutgoingQueue {
  readonly #parts: ExternalQueueParts;
  #last: number;
  #kept: Size;
  #fresh: OutgoingRow[] = [];
  #freshBytes = 0;
  /** Bytes of acknowledged messages, by id. */
  readonly #done = new Map<number, number>();
  #dropping = false;
  #dropped = 0;

  constructor(parts: ExternalQueueParts) {
    this.#parts = parts;
    const { entries, bytes, last } = parts.store.mqttOutgoing.size();
    this.#kept = { entries, bytes };
    this.#last = last;
  }

  /** Number of messages that are not on disk yet. */
  get unstored(): number {
    return this.#fresh.length;
  }

  add({ topic, payload }: MqttMessage, retain: boolean): void {
    this.#last += 1;
    const row = { id: this.#last, topic, payload, retain: Number(retain) };
    this.#fresh.push(row);
    this.#freshBytes += rowBytes(row);
  }

  /** The message is acknowledged, or dropped. */
  finish(row: OutgoingRow): void {
    this.#done.set(row.id, rowBytes(row));
  }

  isFinished(id: number): boolean {
    return this.#done.has(id);
  }

  /** Messages on disk, oldest first; acknowledged ones may be among them. */
  listAfter(id: number, limit: number): OutgoingRow[] {
    return this.#parts.store.mqttOutgoing.listAfter(id, limit);
  }

  /**
   * Writes everything to disk. Messages up to `sentUpTo` may be in flight and are not dropped.
   * @throws when it cannot be written; messages beyond the limits are dropped from memory then
   */
  commit(sentUpTo: number): void {
    if (this.#fresh.length + this.#done.size === 0) return;
    const { store } = this.#parts;
    try {
      const { kept, dropped } = store.transaction(() => this.#write(sentUpTo));
      this.#kept = kept;
      this.#fresh = [];
      this.#freshBytes = 0;
      this.#done.clear();
      this.#count(dropped);
    } catch (error) {
      this.#dropFresh();
      throw error;
    }
  }

  #write(sentUpTo: number): { readonly kept: Size; readonly dropped: number } {
    const { mqttOutgoing } = this.#parts.store;
    let { entries, bytes } = this.#kept;
    for (const [id, size] of this.#done) {
      if (!mqttOutgoing.remove(id)) continue;
      entries -= 1;
      bytes -= size;
    }
    for (const row of this.#fresh) mqttOutgoing.put(row);
    entries += this.#fresh.length;
    bytes += this.#freshBytes;
    const dropped = this.#dropOldest({ entries: entries - mostKept, bytes: bytes - mostKeptBytes }, sentUpTo);
    const kept = { entries: entries - dropped.entries, bytes: bytes - dropped.bytes };
    return { kept, dropped: dropped.entries };
  }

  #dropOldest(over: Size, sentUpTo: number): Size {
    const { mqttOutgoing } = this.#parts.store;
    let [entries, bytes] = [0, 0];
    const isOver = (): boolean => over.entries > entries || over.bytes > bytes;
    while (isOver()) {
      const rows = mqttOutgoing.sizesAfter(sentUpTo, page);
      if (rows.length === 0) break;
      for (const row of rows) {
        if (!isOver()) break;
        mqttOutgoing.remove(row.id);
        entries += 1;
        bytes += row.bytes;
      }
    }
    return { entries, bytes };
  }

  #dropFresh(): void {
    let dropped = 0;
    while (this.#fresh.length - dropped > mostKept || this.#freshBytes > mostKeptBytes) {
      const row = this.#fresh[dropped];
      if (!row) break;
      this.#freshBytes -= rowBytes(row);
      dropped += 1;
    }
    this.#fresh.splice(0, dropped);
    this.#count(dropped);
  }

  /** Logs one line when dropping begins and one when it ends: a broker may be offline for days. */
  #count(dropped: number): void {
    const { log } = this.#parts;
    this.#dropped += dropped;
    if (dropped > 0 && !this.#dropping)
      log.warn(
        "dropping the oldest messages for the external MQTT broker, which has been offline for too long",
        {
          dropped,
          keptMessages: mostKept,
          keptBytes: mostKeptBytes,
        },
      );
    if (dropped === 0 && this.#dropping)
      log.warn("dropped messages for the external MQTT broker", { dropped: this.#dropped });
    if (dropped === 0) this.#dropped = 0;
    this.#dropping = dropped > 0;
  }
}

export function rowBytes({ topic, payload }: OutgoingRow): number {
  return Buffer.byteLength(topic) + payload.length;
}
