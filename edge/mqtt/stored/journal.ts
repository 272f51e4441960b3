import { nextTurn } from "#shared/clock";
import type { MqttSessions, PacketRow, Store } from "#edge/store";
import { parseQos, type BrokerPacket, type Will } from "#edge/mqtt/packet";

export interface JournalEntry {
  readonly row: number;
  readonly packet: BrokerPacket;
}

type Write = (sessions: MqttSessions) => void;

/**
 * Collects the broker's writes into one transaction for each turn of the event loop. A write replaces an earlier one with
 * the same key that is not on disk yet, so that a packet which comes and goes within a turn costs nothing. Writes that
 * failed are repeated with the next commit, unless replaced.
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

  putPacket(kind: "in" | "out", client: string, entry: JournalEntry): void {
    this.add(`p${entry.row}`, (sessions) => sessions.putPacket(toRow(kind, client, entry)));
  }

  putWill(
    client: string,
    {
      row,
      packet,
      dueAtMs,
    }: { readonly row: number; readonly packet: Will; readonly dueAtMs?: number | undefined },
  ): void {
    const { user = null, expirySeconds = null, delaySeconds } = packet;
    const own = { user, expires: expirySeconds, delay: delaySeconds, due: dueAtMs ?? null };
    this.add(`p${row}`, (sessions) =>
      sessions.putPacket({ ...toRow("will", client, { row, packet }), ...own }),
    );
  }

  /** Writes the current message id of a packet, unless the whole packet is written anyway. Nothing waits for it. */
  numberPacket({ row, packet }: JournalEntry): void {
    const key = `p${row}`;
    if (!this.#writes.has(key))
      this.add(key, (sessions) => sessions.numberPacket(row, packet.messageId ?? null));
  }

  removePacket(row: number): void {
    this.add(`p${row}`, (sessions) => sessions.removePacket(row));
  }

  /** Makes sure that a row is not on disk, whether it was written or not. */
  retractPacket(row: number): void {
    if (!this.#writes.delete(`p${row}`)) this.removePacket(row);
  }

  /** Resolves when everything added so far is on disk; rejects when it could not be written. */
  commit(): Promise<void> {
    if (this.#writes.size === 0) return this.#flushed ?? Promise.resolve();
    this.#flushed ??= nextTurn().then(() => this.#flush());
    return this.#flushed;
  }

  /** Commits without waiting; after a failure the next commit repeats the writes. */
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

function toRow(kind: PacketRow["kind"], client: string, { row, packet }: JournalEntry): PacketRow {
  const { cmd, topic = null, qos, retain = false, messageId = null, payload } = packet;
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
    user: null,
    properties: packet.properties ?? null,
    expires: packet.expiresAtMs ?? null,
    delay: null,
    due: null,
  };
}

/** Packets of an earlier run are identified by their row, because broker counters start again at 0. */
export function packetFromRow(row: PacketRow): BrokerPacket {
  return {
    cmd: row.cmd === "pubrel" ? "pubrel" : "publish",
    topic: row.topic ?? "",
    payload: Buffer.from(row.payload ?? []),
    qos: parseQos(row.qos),
    retain: row.retain !== 0,
    messageId: row.messageId ?? undefined,
    brokerId: "stored",
    brokerCounter: row.id,
    properties: row.properties ? Buffer.from(row.properties) : undefined,
    expiresAtMs: row.expires ?? undefined,
  };
}

export function willFromRow(row: PacketRow): Will {
  return {
    cmd: "publish",
    topic: row.topic ?? "",
    payload: Buffer.from(row.payload ?? []),
    qos: parseQos(row.qos),
    retain: row.retain !== 0,
    properties: row.properties ? Buffer.from(row.properties) : undefined,
    expirySeconds: row.expires ?? undefined,
    delaySeconds: row.delay ?? 0,
    user: row.user ?? undefined,
  };
}
