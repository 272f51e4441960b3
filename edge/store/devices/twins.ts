import type { Database } from "bun:sqlite";

/** One property of a device. The JSON columns hold what KubeEdge keeps there; null where there is nothing. */
export interface TwinRow {
  readonly deviceId: string;
  readonly name: string;
  readonly expected: string | null;
  readonly actual: string | null;
  /** `{"timestamp":1718000000000}` */
  readonly expectedMeta: string | null;
  readonly actualMeta: string | null;
  /** `{"cloud":0,"edge":3}` */
  readonly expectedVersion: string | null;
  readonly actualVersion: string | null;
  readonly optional: number;
  /** string, int, float, boolean or deleted */
  readonly type: string | null;
  /** the value the Device object last asked for */
  readonly desired: string | null;
}

/** The twins of all devices. */
export class Twins {
  readonly #db: Database;
  readonly #put;
  readonly #remove;

  constructor(db: Database) {
    this.#db = db;
    this.#put = db.query<never, (string | number | null)[]>(
      `INSERT OR REPLACE INTO device_twin (deviceid, name, expected, actual, expected_meta, actual_meta,
         expected_version, actual_version, optional, attr_type, metadata, desired)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{}', ?)`,
    );
    this.#remove = db.query<never, [string, string]>(
      "DELETE FROM device_twin WHERE deviceid = ? AND name = ?",
    );
  }

  /** All rows, one after another: a node may have tens of thousands. */
  each(): Iterable<TwinRow> {
    return this.#db
      .query<TwinRow, []>(
        `SELECT deviceid AS deviceId, name, expected, actual, expected_meta AS expectedMeta,
           actual_meta AS actualMeta, expected_version AS expectedVersion, actual_version AS actualVersion,
           optional, attr_type AS type, desired FROM device_twin`,
      )
      .iterate();
  }

  put(row: TwinRow): void {
    const { deviceId, name, expected, actual, expectedMeta, actualMeta } = row;
    this.#put.run(
      deviceId,
      name,
      expected,
      actual,
      expectedMeta,
      actualMeta,
      row.expectedVersion,
      row.actualVersion,
      row.optional,
      row.type,
      row.desired,
    );
  }

  remove(deviceId: string, name: string): void {
    this.#remove.run(deviceId, name);
  }
}
