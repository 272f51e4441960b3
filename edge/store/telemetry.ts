import type { Database } from "bun:sqlite";

export interface HistoryPoint {
  /** milliseconds since 1970 */
  readonly at: number;
  readonly value: string;
}

export interface HistoryQuery {
  readonly deviceId: string;
  readonly name: string;
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  /** newest points first are kept; the answer is oldest first */
  readonly limit: number;
}

export interface HistoryLimits {
  readonly maxAgeMs: number;
  readonly maxPerProperty: number;
  readonly maxPoints: number;
}

const trimStep = 2000;

/**
 * Reported values over time, bounded by age, by points a property and by points in all. Rows are in order of time, so
 * trimming only ever looks at the oldest ones.
 */
export class Telemetry {
  readonly #add;
  readonly #query;
  readonly #count;
  readonly #trimProperty;
  readonly #bounds;
  readonly #trimAll;
  /** Points of a property, counted when it is first written to. */
  readonly #kept = new Map<string, number>();

  constructor(db: Database) {
    this.#add = db.query<never, [string, string, number, string]>(
      "INSERT INTO device_history (deviceid, name, at, value) VALUES (?, ?, ?, ?)",
    );
    this.#query = db.query<HistoryPoint, [string, string, number, number, number]>(
      `SELECT at, value FROM device_history
       WHERE deviceid = ? AND name = ? AND at >= ? AND at <= ? ORDER BY id DESC LIMIT ?`,
    );
    this.#count = db.query<{ points: number }, [string, string]>(
      "SELECT COUNT(*) AS points FROM device_history WHERE deviceid = ? AND name = ?",
    );
    this.#trimProperty = db.query<never, [string, string, string, string, number]>(
      `DELETE FROM device_history WHERE deviceid = ? AND name = ? AND id <= (
         SELECT id FROM device_history WHERE deviceid = ? AND name = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`,
    );
    this.#bounds = db.query<{ oldest: number | null; newest: number | null }, []>(
      `SELECT (SELECT id FROM device_history ORDER BY id LIMIT 1) AS oldest,
              (SELECT id FROM device_history ORDER BY id DESC LIMIT 1) AS newest`,
    );
    this.#trimAll = db.query<never, [number, number, number]>(
      `DELETE FROM device_history WHERE id IN (SELECT id FROM device_history ORDER BY id LIMIT ?)
         AND (at < ? OR id <= ?)`,
    );
  }

  /** Call it inside the transaction that stores the twin. */
  add(deviceId: string, name: string, point: HistoryPoint, maxPerProperty: number): void {
    if (maxPerProperty <= 0) return;
    const key = `${deviceId}\n${name}`;
    const kept = (this.#kept.get(key) ?? this.#count.get(deviceId, name)?.points ?? 0) + 1;
    this.#add.run(deviceId, name, point.at, point.value);
    if (kept <= maxPerProperty * 1.25) {
      this.#kept.set(key, kept);
      return;
    }
    this.#trimProperty.run(deviceId, name, deviceId, name, maxPerProperty);
    this.#kept.set(key, maxPerProperty);
  }

  /** At most `limit` points, oldest first; of more, the newest. */
  query(query: HistoryQuery): HistoryPoint[] {
    const { deviceId, name, sinceMs = 0, untilMs = Number.MAX_SAFE_INTEGER, limit } = query;
    return this.#query.all(deviceId, name, sinceMs, untilMs, limit).toReversed();
  }

  /** Drops some of the points that are too old or too many. @returns whether there may be more to drop */
  trim(nowMs: number, limits: HistoryLimits): boolean {
    const { oldest, newest } = this.#bounds.get() ?? { oldest: null, newest: null };
    if (oldest === null || newest === null) return false;
    const dropped = this.#trimAll.run(trimStep, nowMs - limits.maxAgeMs, newest - limits.maxPoints).changes;
    if (dropped > 0) this.#kept.clear();
    return dropped >= trimStep;
  }

  forget(deviceId: string): void {
    for (const key of this.#kept.keys()) if (key.startsWith(`${deviceId}\n`)) this.#kept.delete(key);
  }
}
