import type { Database } from "bun:sqlite";

export interface DeviceRow {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly state: string;
  /** as published: "YYYY-MM-DD HH:MM:SS", empty when never */
  readonly lastOnline: string;
}

export interface AttributeRow {
  readonly deviceId: string;
  readonly name: string;
  readonly value: string;
  readonly optional: boolean;
  readonly type: string;
}

/** The devices bound to this node and their attributes. */
export class Devices {
  readonly #db: Database;
  readonly #put;
  readonly #putAttribute;
  readonly #removeAttribute;
  readonly #removals;

  constructor(db: Database) {
    this.#db = db;
    this.#put = db.query<never, [string, string, string, string, string]>(
      "INSERT OR REPLACE INTO device (id, name, description, state, last_online) VALUES (?, ?, ?, ?, ?)",
    );
    this.#putAttribute = db.query<never, [string, string, string, number, string]>(
      "INSERT OR REPLACE INTO device_attr (deviceid, name, value, optional, attr_type) VALUES (?, ?, ?, ?, ?)",
    );
    this.#removeAttribute = db.query<never, [string, string]>(
      "DELETE FROM device_attr WHERE deviceid = ? AND name = ?",
    );
    this.#removals = [
      "DELETE FROM device WHERE id = ?",
      "DELETE FROM device_attr WHERE deviceid = ?",
      "DELETE FROM device_twin WHERE deviceid = ?",
      "DELETE FROM device_history_block WHERE deviceid = ?",
    ].map((statement) => db.query<never, [string]>(statement));
  }

  list(): DeviceRow[] {
    return this.#db
      .query<DeviceRow, []>(
        `SELECT id, COALESCE(name, '') AS name, COALESCE(description, '') AS description,
           COALESCE(state, '') AS state, COALESCE(last_online, '') AS lastOnline FROM device`,
      )
      .all();
  }

  listAttributes(): AttributeRow[] {
    return this.#db
      .query<Omit<AttributeRow, "optional"> & { optional: number }, []>(
        `SELECT deviceid AS deviceId, name, COALESCE(value, '') AS value, optional,
           COALESCE(attr_type, '') AS type FROM device_attr`,
      )
      .all()
      .map((row) => ({ ...row, optional: row.optional !== 0 }));
  }

  put(row: DeviceRow): void {
    this.#put.run(row.id, row.name, row.description, row.state, row.lastOnline);
  }

  putAttribute(row: AttributeRow): void {
    this.#putAttribute.run(row.deviceId, row.name, row.value, Number(row.optional), row.type);
  }

  removeAttribute(deviceId: string, name: string): void {
    this.#removeAttribute.run(deviceId, name);
  }

  /** Forgets a device with its attributes, twins and history. */
  remove(id: string): void {
    for (const statement of this.#removals) statement.run(id);
  }
}
