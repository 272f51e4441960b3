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

/** Kept for a broker that is away; past either the oldest go. */
const mostKept = 10_000;
const mostKeptBytes = 64_000_000;
const page = 500;

/**
 * Messages for the external broker and where they are: new ones and acknowledged ones wait for the next commit, the rest
 * is on disk. A commit that fails changes nothing: all of it is tried again with the next one.
 */
export class ExternalOutgoingQueue {
  readonly #parts: ExternalQueueParts;
  #last: number;
  #kept: Size;
  #fresh: OutgoingRow[] = [];
  #freshBytes = 0;
  /** Bytes by id. */
  readonly #done = new Map<number, number>();
  #dropping = false;
  #dropped = 0;

  constructor(parts: ExternalQueueParts) {
    this.#parts = parts;
    const { entries, bytes, last } = parts.store.mqttOutgoing.size();
    this.#kept = { entries, bytes };
    this.#last = last;
  }

  /** How many are not on disk yet. */
  get unstored(): number {
    return this.#fresh.length;
  }

  add({ topic, payload }: MqttMessage, retain: boolean): void {
    this.#last += 1;
    const row = { id: this.#last, topic, payload, retain: Number(retain) };
    this.#fresh.push(row);
    this.#freshBytes += rowBytes(row);
  }

  /** The row need not be sent (again). */
  finish(row: OutgoingRow): void {
    this.#done.set(row.id, rowBytes(row));
  }

  isFinished(id: number): boolean {
    return this.#done.has(id);
  }

  /** Rows on disk, oldest first; finished ones may be among them. */
  listAfter(id: number, limit: number): OutgoingRow[] {
    return this.#parts.store.mqttOutgoing.listAfter(id, limit);
  }

  /**
   * Brings everything to disk. Rows up to `sentUpTo` may be under way and are not dropped.
   * @throws when the disk does not take it; what is too much even to be kept in memory is dropped then
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
    let gone = 0;
    while (this.#fresh.length - gone > mostKept || this.#freshBytes > mostKeptBytes) {
      const row = this.#fresh[gone];
      if (!row) break;
      this.#freshBytes -= rowBytes(row);
      gone += 1;
    }
    this.#fresh.splice(0, gone);
    this.#count(gone);
  }

  /** One line when it begins and one when it is over: a broker may be away for days. */
  #count(dropped: number): void {
    const { log } = this.#parts;
    this.#dropped += dropped;
    if (dropped > 0 && !this.#dropping)
      log.warn("dropping the oldest messages for the external MQTT broker: it is away too long", {
        dropped,
        keptMessages: mostKept,
        keptBytes: mostKeptBytes,
      });
    if (dropped === 0 && this.#dropping)
      log.warn("dropped messages for the external MQTT broker", { dropped: this.#dropped });
    if (dropped === 0) this.#dropped = 0;
    this.#dropping = dropped > 0;
  }
}

export function rowBytes({ topic, payload }: OutgoingRow): number {
  return Buffer.byteLength(topic) + payload.length;
}
