import type { MqttSessions, PacketRow, Store } from "#edge/store";
import type { BrokerPacket, QoS } from "#edge/mqtt/packet";
import type { QueueEntry } from "./session-queue.ts";
import { nextTurn } from "#shared/clock";

type Write = (sessions: MqttSessions) => void;

/**
 * Writes of the broker, one transaction a turn of the event loop. A write replaces an earlier one of the same key that
 * has not reached the disk, so that a packet which comes and goes within a turn costs nothing; what could not be written
 * is written with the next commit, unless something newer took its place.
 */
export class Journal {
  readonly #store: Store;
  #writes = new Map<string, Write>();
  #flushed: Promise<void> | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  add(key: string, write: Write): void {
    this.#writes.set(key, write);
  }

  putPacket(kind: PacketRow["kind"], client: string, entry: Pick<QueueEntry, "row" | "packet">): void {
    this.add(`p${entry.row}`, (to) => to.putPacket(toRow(kind, client, entry)));
  }

  /** Notes the id a packet has now, with what else is written of it: nobody waits for that. */
  numberPacket({ row, packet }: Pick<QueueEntry, "row" | "packet">): void {
    const key = `p${row}`;
    if (!this.#writes.has(key)) this.add(key, (to) => to.numberPacket(row, packet.messageId ?? null));
  }

  removePacket(row: number): void {
    this.add(`p${row}`, (to) => to.removePacket(row));
  }

  /** A row that may or may not have been written is not to be there. */
  retractPacket(row: number): void {
    if (!this.#writes.delete(`p${row}`)) this.removePacket(row);
  }

  /** Resolves when everything added so far is on disk; rejects when it could not be written. */
  commit(): Promise<void> {
    if (this.#writes.size === 0) return this.#flushed ?? Promise.resolve();
    this.#flushed ??= nextTurn().then(() => this.#flush());
    return this.#flushed;
  }

  /** Commits what nobody waits for; a failure leaves it to the next commit. */
  commitSoon(): void {
    this.commit().catch(() => undefined);
  }

  #flush(): void {
    const writes = this.#writes;
    this.#writes = new Map();
    this.#flushed = undefined;
    const { mqttSessions } = this.#store;
    try {
      this.#store.transaction(() => {
        for (const write of writes.values()) write(mqttSessions);
      });
    } catch (error) {
      this.#writes = new Map([...writes, ...this.#writes]);
      throw error;
    }
  }
}

function toRow(
  kind: PacketRow["kind"],
  client: string,
  { row, packet }: Pick<QueueEntry, "row" | "packet">,
): PacketRow {
  const { cmd, topic = null, qos, retain = false, messageId = null, payload, user = null } = packet;
  return {
    id: row,
    client,
    kind,
    messageId,
    cmd,
    topic,
    qos,
    retain: Number(retain),
    payload: payload === undefined ? null : Buffer.from(payload),
    user,
  };
}

/** Packets of an earlier run get an identity of their own: broker counters start anew. */
export function packetFromRow(row: PacketRow): BrokerPacket {
  return {
    cmd: row.cmd === "pubrel" ? "pubrel" : "publish",
    topic: row.topic ?? "",
    payload: Buffer.from(row.payload ?? []),
    qos: row.qos as QoS,
    retain: row.retain !== 0,
    messageId: row.messageId ?? undefined,
    brokerId: "stored",
    brokerCounter: row.id,
    user: row.user ?? undefined,
  };
}
