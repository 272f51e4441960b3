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

/** Rows deleted in one step, during which nothing else of the process runs. */
const trimStep = 2000;

/**
 * Reported values over time, bounded by age, by points a property and by points in all. Rows are in order of writing,
 * so trimming looks at the oldest ones only. How many there are is counted once and then kept: a property's own limit
 * leaves gaps in the ids, so that these do not show it.
 */
export class DeviceHistory {
  readonly #add;
  readonly #query;
  readonly #count;
  readonly #trimProperty;
  readonly #countAll;
  readonly #lastAged;
  readonly #trimAged;
  readonly #trimOldest;
  #total: number | undefined;
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
    this.#countAll = db.query<{ points: number }, []>("SELECT COUNT(*) AS points FROM device_history");
    this.#lastAged = db.query<{ last: number | null }, [number, number, number]>(
      `SELECT MAX(id) AS last FROM
         (SELECT id, at FROM device_history WHERE at <= ? ORDER BY id LIMIT ?) WHERE at < ?`,
    );
    this.#trimAged = db.query<never, [number, number, number, number]>(
      `DELETE FROM device_history WHERE id IN
         (SELECT id FROM device_history WHERE id <= ? AND (at < ? OR at > ?) ORDER BY id LIMIT ?)`,
    );
    this.#trimOldest = db.query<never, [number]>(
      "DELETE FROM device_history WHERE id IN (SELECT id FROM device_history ORDER BY id LIMIT ?)",
    );
  }

  /** Call it inside the transaction that stores the twin. */
  add(deviceId: string, name: string, point: HistoryPoint, maxPerProperty: number): void {
    if (maxPerProperty <= 0) return;
    const key = `${deviceId}\n${name}`;
    const kept = (this.#kept.get(key) ?? this.#count.get(deviceId, name)?.points ?? 0) + 1;
    this.#add.run(deviceId, name, point.at, point.value);
    if (this.#total !== undefined) this.#total += 1;
    // A quarter more than allowed, so that not each value costs a deletion.
    if (kept <= maxPerProperty * 1.25) {
      this.#kept.set(key, kept);
      return;
    }
    const { changes } = this.#trimProperty.run(deviceId, name, deviceId, name, maxPerProperty);
    if (this.#total !== undefined) this.#total -= changes;
    this.#kept.set(key, maxPerProperty);
  }

  /** At most `limit` points, oldest first; of more, the newest. */
  query(query: HistoryQuery): HistoryPoint[] {
    const { deviceId, name, sinceMs = 0, untilMs = Number.MAX_SAFE_INTEGER, limit } = query;
    return this.#query.all(deviceId, name, sinceMs, untilMs, limit).toReversed();
  }

  /** Drops some of the points that are too old or too many. @returns whether there may be more to drop */
  trim(nowMs: number, limits: HistoryLimits): boolean {
    const before = this.#total ?? this.#countAll.get()?.points ?? 0;
    const aged = this.#dropAged(nowMs, nowMs - limits.maxAgeMs);
    const left = before - aged;
    const over = Math.min(trimStep, Math.max(0, left - limits.maxPoints));
    const oldest = over > 0 ? this.#trimOldest.run(over).changes : 0;
    this.#total = left - oldest;
    if (aged + oldest > 0) this.#kept.clear();
    return aged >= trimStep || oldest >= trimStep;
  }

  forget(deviceId: string): void {
    for (const key of this.#kept.keys()) if (key.startsWith(`${deviceId}\n`)) this.#kept.delete(key);
    this.#total = undefined;
  }

  /** Counts again when it matters next: after a failed commit, what was added is not there. */
  recount(): void {
    this.#kept.clear();
    this.#total = undefined;
  }

  /** Points from the future were written under a clock that was ahead; one before a point too old is older than that. */
  #dropAged(nowMs: number, beforeMs: number): number {
    const last = this.#lastAged.get(nowMs, trimStep, beforeMs)?.last ?? undefined;
    return last === undefined ? 0 : this.#trimAged.run(last, beforeMs, nowMs, trimStep).changes;
  }
}
