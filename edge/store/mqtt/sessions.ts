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
  /** encoded properties of MQTT 5 that subscribers get */
  readonly properties: Uint8Array | null;
  /** when it expires, in the time of the broker; of a will the seconds for which it is valid once it is published */
  readonly expires: number | null;
  /** of a will: the seconds between the end of the connection and its publication */
  readonly delay: number | null;
  /** of a will whose connection has ended: when it is to be published, in the time of the broker */
  readonly due: number | null;
}

/** A session that is kept for a time after its connection ends; others are kept without end. */
export interface SessionRow {
  readonly client: string;
  /** seconds */
  readonly expiry: number;
  /** in the time of the broker; null while the client is connected */
  readonly endsAt: number | null;
}

/** The time of the broker at a moment, with what the clocks of the machine said then. */
export interface ClockRow {
  readonly at: number;
  readonly wall: number;
  readonly boot: string;
  readonly bootMs: number;
}

export interface SubscriptionRow {
  readonly client: string;
  readonly topic: string;
  readonly qos: number;
  /** 1: No Local, 2: Retain As Published (MQTT 5 section 3.8.3.1) */
  readonly options: number;
  readonly identifier: number | null;
}

export interface RetainedRow {
  readonly topic: string;
  readonly qos: number;
  readonly payload: Uint8Array;
  /** encoded properties of MQTT 5 that subscribers get */
  readonly properties: Uint8Array | null;
  /** in the time of the broker */
  readonly expires: number | null;
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
  readonly #putSession;
  readonly #removeSession;
  readonly #putClock;

  constructor(db: Database) {
    this.#db = db;
    this.#putPacket = db.query<never, (string | number | Uint8Array | null)[]>(
      `INSERT OR REPLACE INTO mqtt_packet
         (id, client, kind, message_id, cmd, topic, qos, retain, payload, user, properties, expires, delay, due)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#numberPacket = db.query<never, [number | null, number]>(
      "UPDATE mqtt_packet SET message_id = ? WHERE id = ?",
    );
    this.#removePacket = db.query<never, [number]>("DELETE FROM mqtt_packet WHERE id = ?");
    this.#putSubscription = db.query<never, [string, string, number, number, number | null]>(
      "INSERT OR REPLACE INTO mqtt_subscription (client, topic, qos, options, identifier) VALUES (?, ?, ?, ?, ?)",
    );
    this.#removeSubscription = db.query<never, [string, string]>(
      "DELETE FROM mqtt_subscription WHERE client = ? AND topic = ?",
    );
    this.#putRetained = db.query<never, [string, number, Uint8Array, Uint8Array | null, number | null]>(
      "INSERT OR REPLACE INTO mqtt_retained (topic, qos, payload, properties, expires) VALUES (?, ?, ?, ?, ?)",
    );
    this.#removeRetained = db.query<never, [string]>("DELETE FROM mqtt_retained WHERE topic = ?");
    this.#putSession = db.query<never, [string, number, number | null]>(
      "INSERT OR REPLACE INTO mqtt_session (client, expiry, ends_at) VALUES (?, ?, ?)",
    );
    this.#removeSession = db.query<never, [string]>("DELETE FROM mqtt_session WHERE client = ?");
    this.#putClock = db.query<never, [number, number, string, number]>(
      "INSERT OR REPLACE INTO mqtt_clock (id, at, wall, boot, boot_ms) VALUES (1, ?, ?, ?, ?)",
    );
  }

  packets(): Iterable<PacketRow> {
    return this.#db
      .query<PacketRow, []>(
        `SELECT id, client, kind, message_id AS messageId, cmd, topic, qos, retain, payload, user,
           properties, expires, delay, due
         FROM mqtt_packet ORDER BY id`,
      )
      .iterate();
  }

  subscriptions(): SubscriptionRow[] {
    return this.#db
      .query<SubscriptionRow, []>("SELECT client, topic, qos, options, identifier FROM mqtt_subscription")
      .all();
  }

  retained(): RetainedRow[] {
    return this.#db
      .query<RetainedRow, []>("SELECT topic, qos, payload, properties, expires FROM mqtt_retained")
      .all();
  }

  sessions(): SessionRow[] {
    return this.#db.query<SessionRow, []>("SELECT client, expiry, ends_at AS endsAt FROM mqtt_session").all();
  }

  clock(): ClockRow | undefined {
    const found = this.#db
      .query<ClockRow, []>("SELECT at, wall, boot, boot_ms AS bootMs FROM mqtt_clock")
      .get();
    return found ?? undefined;
  }

  putPacket(row: PacketRow): void {
    const { id, client, kind, messageId, cmd, topic, qos, retain, payload, user } = row;
    const { properties, expires, delay, due } = row;
    const message = [cmd, topic, qos, retain, payload, user] as const;
    this.#putPacket.run(id, client, kind, messageId, ...message, properties, expires, delay, due);
  }

  numberPacket(id: number, messageId: number | null): void {
    this.#numberPacket.run(messageId, id);
  }

  removePacket(id: number): void {
    this.#removePacket.run(id);
  }

  putSubscription(row: SubscriptionRow): void {
    this.#putSubscription.run(row.client, row.topic, row.qos, row.options, row.identifier);
  }

  removeSubscription(client: string, topic: string): void {
    this.#removeSubscription.run(client, topic);
  }

  putRetained(row: RetainedRow): void {
    this.#putRetained.run(row.topic, row.qos, row.payload, row.properties, row.expires);
  }

  removeRetained(topic: string): void {
    this.#removeRetained.run(topic);
  }

  putSession({ client, expiry, endsAt }: SessionRow): void {
    this.#putSession.run(client, expiry, endsAt);
  }

  removeSession(client: string): void {
    this.#removeSession.run(client);
  }

  putClock({ at, wall, boot, bootMs }: ClockRow): void {
    this.#putClock.run(at, wall, boot, bootMs);
  }
}
