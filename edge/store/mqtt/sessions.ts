import type { Database } from "bun:sqlite";

/** A packet a session has to deliver (`out`), has received with QoS 2 (`in`) or leaves behind (`will`). */
export interface PacketRow {
  readonly id: number;
  readonly client: string;
  readonly kind: "out" | "in" | "will";
  readonly messageId: number | null;
  readonly cmd: string;
  readonly topic: string | null;
  readonly qos: number;
  readonly retain: number;
  readonly payload: Uint8Array | null;
  /** of a will: the user who left it */
  readonly user: string | null;
}

export interface SubscriptionRow {
  readonly client: string;
  readonly topic: string;
  readonly qos: number;
}

export interface RetainedRow {
  readonly topic: string;
  readonly qos: number;
  readonly payload: Uint8Array;
}

/** What the MQTT broker has to remember over a restart. */
export class MqttSessions {
  readonly #db: Database;
  readonly #putPacket;
  readonly #numberPacket;
  readonly #removePacket;
  readonly #putSubscription;
  readonly #removeSubscription;
  readonly #putRetained;
  readonly #removeRetained;

  constructor(db: Database) {
    this.#db = db;
    this.#putPacket = db.query<never, (string | number | Uint8Array | null)[]>(
      `INSERT OR REPLACE INTO mqtt_packet (id, client, kind, message_id, cmd, topic, qos, retain, payload, user)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#numberPacket = db.query<never, [number | null, number]>(
      "UPDATE mqtt_packet SET message_id = ? WHERE id = ?",
    );
    this.#removePacket = db.query<never, [number]>("DELETE FROM mqtt_packet WHERE id = ?");
    this.#putSubscription = db.query<never, [string, string, number]>(
      "INSERT OR REPLACE INTO mqtt_subscription (client, topic, qos) VALUES (?, ?, ?)",
    );
    this.#removeSubscription = db.query<never, [string, string]>(
      "DELETE FROM mqtt_subscription WHERE client = ? AND topic = ?",
    );
    this.#putRetained = db.query<never, [string, number, Uint8Array]>(
      "INSERT OR REPLACE INTO mqtt_retained (topic, qos, payload) VALUES (?, ?, ?)",
    );
    this.#removeRetained = db.query<never, [string]>("DELETE FROM mqtt_retained WHERE topic = ?");
  }

  packets(): Iterable<PacketRow> {
    return this.#db
      .query<PacketRow, []>(
        `SELECT id, client, kind, message_id AS messageId, cmd, topic, qos, retain, payload, user
         FROM mqtt_packet ORDER BY id`,
      )
      .iterate();
  }

  subscriptions(): SubscriptionRow[] {
    return this.#db.query<SubscriptionRow, []>("SELECT client, topic, qos FROM mqtt_subscription").all();
  }

  retained(): RetainedRow[] {
    return this.#db.query<RetainedRow, []>("SELECT topic, qos, payload FROM mqtt_retained").all();
  }

  putPacket(row: PacketRow): void {
    const { id, client, kind, messageId, cmd, topic, qos, retain, payload, user } = row;
    this.#putPacket.run(id, client, kind, messageId, cmd, topic, qos, retain, payload, user);
  }

  numberPacket(id: number, messageId: number | null): void {
    this.#numberPacket.run(messageId, id);
  }

  removePacket(id: number): void {
    this.#removePacket.run(id);
  }

  putSubscription(row: SubscriptionRow): void {
    this.#putSubscription.run(row.client, row.topic, row.qos);
  }

  removeSubscription(client: string, topic: string): void {
    this.#removeSubscription.run(client, topic);
  }

  putRetained(row: RetainedRow): void {
    this.#putRetained.run(row.topic, row.qos, row.payload);
  }

  removeRetained(topic: string): void {
    this.#removeRetained.run(topic);
  }
}
