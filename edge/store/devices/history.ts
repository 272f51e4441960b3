import type { Database } from "bun:sqlite";
import { readPoints, writePoints, type HistoryPoint } from "./history-block.ts";

export type { HistoryPoint } from "./history-block.ts";

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

/** Blocks deleted in one step, during which nothing else of the process runs. */
const trimStep = 500;
/** A block is rewritten when points are added: more in one would cost more than the index entries they save. */
const pointsABlock = 128;
/** The age of a block is that of its newest point: of a property that is reported once an hour each point gets one. */
const longestBlockMs = 3_600_000;

interface BlockRow {
  readonly id: number;
  readonly base: number;
  readonly points: number;
  readonly data: string;
}

interface LastBlock {
  readonly id: number;
  readonly base: number;
  points: number;
  since: number;
  until: number;
}

/**
 * Reported values over time, bounded by age, by points a property and by points in all. They are stored in blocks of a property,
 * in order of writing, so trimming looks at the oldest ones only. How many there are is counted once and then kept.
 */
export class DeviceHistory {
  readonly #insert;
  readonly #append;
  readonly #rewrite;
  readonly #last;
  readonly #query;
  readonly #count;
  readonly #countAll;
  readonly #oldest;
  readonly #oldestOf;
  readonly #lastAged;
  readonly #trimAged;
  readonly #remove;
  #total: number | undefined;
  /** Points of a property, counted when it is first written to. */
  readonly #kept = new Map<string, number>();
  readonly #lastBlocks = new Map<string, LastBlock | undefined>();
  /** Points that are shown and not yet stored, by property. */
  readonly #pending = new Map<string, HistoryPoint[]>();
  #pendingPoints = 0;
  /** Those stored by a transaction that is not committed yet. */
  #unsettled: { readonly key: string; readonly points: readonly HistoryPoint[] }[] = [];

  constructor(db: Database) {
    this.#insert = db.query<{ id: number }, (string | number)[]>(
      `INSERT INTO device_history_block (deviceid, name, base, since, until, points, data)
       VALUES (?, ?, ?, ?, ?, ?, '[' || ? || ']') RETURNING id`,
    );
    this.#append = db.query<never, (string | number)[]>(
      `UPDATE device_history_block SET since = ?, until = ?, points = ?,
         data = substr(data, 1, length(data) - 1) || ',' || ? || ']' WHERE id = ?`,
    );
    this.#rewrite = db.query<never, [number, string, number]>(
      "UPDATE device_history_block SET points = ?, data = '[' || ? || ']' WHERE id = ?",
    );
    this.#last = db.query<LastBlock, [string, string]>(
      `SELECT id, base, points, since, until FROM device_history_block
       WHERE deviceid = ? AND name = ? ORDER BY id DESC LIMIT 1`,
    );
    this.#query = db.query<BlockRow, [string, string, number, number]>(
      `SELECT id, base, points, data FROM device_history_block
       WHERE deviceid = ? AND name = ? AND until >= ? AND since <= ? ORDER BY id DESC`,
    );
    this.#count = db.query<{ points: number | null }, [string, string]>(
      "SELECT SUM(points) AS points FROM device_history_block WHERE deviceid = ? AND name = ?",
    );
    this.#countAll = db.query<{ points: number | null }, []>(
      "SELECT SUM(points) AS points FROM device_history_block",
    );
    this.#oldest = db.query<BlockRow, [number]>(
      "SELECT id, base, points, data FROM device_history_block ORDER BY id LIMIT ?",
    );
    this.#oldestOf = db.query<BlockRow, [string, string, number]>(
      "SELECT id, base, points, data FROM device_history_block WHERE deviceid = ? AND name = ? ORDER BY id LIMIT ?",
    );
    this.#lastAged = db.query<{ last: number | null }, [number, number, number]>(
      `SELECT MAX(id) AS last FROM
         (SELECT id, until FROM device_history_block WHERE since <= ? ORDER BY id LIMIT ?) WHERE until < ?`,
    );
    this.#trimAged = db.query<{ points: number }, [number, number, number, number]>(
      `DELETE FROM device_history_block WHERE id IN
         (SELECT id FROM device_history_block WHERE id <= ? AND (until < ? OR since > ?) ORDER BY id LIMIT ?)
       RETURNING points`,
    );
    this.#remove = db.query<never, [number]>("DELETE FROM device_history_block WHERE id = ?");
  }

  /** Points that are not stored yet. */
  get pendingPoints(): number {
    return this.#pendingPoints;
  }

  /** Call it inside the transaction that stores the twin. */
  add(deviceId: string, name: string, point: HistoryPoint, maxPerProperty: number): void {
    if (maxPerProperty <= 0) return;
    this.store(deviceId, name, maxPerProperty);
    this.#storePoints([deviceId, name], [point], maxPerProperty);
  }

  /** Adds a point that is shown at once and stored with the next call of `store` for its property. */
  addLater(deviceId: string, name: string, point: HistoryPoint, maxPerProperty: number): void {
    if (maxPerProperty <= 0) return;
    const key = keyOf(deviceId, name);
    const points = this.#pending.get(key);
    if (points) points.push(point);
    else this.#pending.set(key, [point]);
    this.#pendingPoints += 1;
  }

  /** Stores the points of a property that are not stored; call it inside a transaction, and then `settle` or `recount`. */
  store(deviceId: string, name: string, maxPerProperty: number): void {
    const key = keyOf(deviceId, name);
    const points = this.#pending.get(key);
    if (!points) return;
    this.#storePoints([deviceId, name], points, maxPerProperty);
    this.#pending.delete(key);
    this.#pendingPoints -= points.length;
    this.#unsettled.push({ key, points });
  }

  #storePoints(
    [deviceId, name]: readonly [string, string],
    points: readonly HistoryPoint[],
    maxPerProperty: number,
  ): void {
    const key = keyOf(deviceId, name);
    const before = this.#kept.get(key) ?? this.#count.get(deviceId, name)?.points ?? 0;
    for (let at = 0; at < points.length;) at += this.#storeSome(key, [deviceId, name], points.slice(at));
    const kept = before + points.length;
    // A quarter more than allowed, so that not each value costs a deletion.
    const over = kept > maxPerProperty * 1.25 ? kept - maxPerProperty : 0;
    const dropped = over > 0 ? this.#drop(over, () => this.#oldestOf.all(deviceId, name, trimStep)) : 0;
    if (dropped > 0) this.#lastBlocks.delete(key);
    if (this.#total !== undefined) this.#total += points.length - dropped;
    this.#kept.set(key, kept - dropped);
  }

  /** The transaction of `store` is committed. */
  settle(): void {
    this.#unsettled = [];
  }

  /** Stores all points that are not stored. */
  storeAll(maxPerProperty: number): void {
    for (const key of this.#pending.keys()) {
      const [deviceId = "", name = ""] = key.split("\n");
      this.store(deviceId, name, maxPerProperty);
    }
  }

  /** At most `limit` points, oldest first; of more, the newest. */
  query(query: HistoryQuery): HistoryPoint[] {
    const { deviceId, name, sinceMs = 0, untilMs = Number.MAX_SAFE_INTEGER, limit } = query;
    const isWanted = ({ at }: HistoryPoint): boolean => at >= sinceMs && at <= untilMs;
    const found = (this.#pending.get(keyOf(deviceId, name)) ?? []).filter(isWanted).toReversed();
    for (const row of this.#query.iterate(deviceId, name, sinceMs, untilMs)) {
      if (found.length >= limit) break;
      found.push(...readPoints(row).filter(isWanted).toReversed());
    }
    return found.slice(0, limit).toReversed();
  }

  /** Drops some of the points that are too old or too many. @returns whether there may be more to drop */
  trim(nowMs: number, limits: HistoryLimits): boolean {
    const before = this.#total ?? this.#countAll.get()?.points ?? 0;
    const aged = this.#dropAged(nowMs, nowMs - limits.maxAgeMs);
    const left = before - aged.points;
    const over = Math.max(0, left - limits.maxPoints);
    const dropped = over > 0 ? this.#drop(over, () => this.#oldest.all(trimStep)) : 0;
    this.#total = left - dropped;
    if (aged.points + dropped > 0) this.#clear();
    return aged.blocks >= trimStep || dropped < over;
  }

  /** Call it where the rows of a device are removed. */
  forget(deviceId: string): void {
    for (const map of [this.#kept, this.#lastBlocks])
      for (const key of map.keys()) if (key.startsWith(`${deviceId}\n`)) map.delete(key);
    for (const [key, points] of this.#pending)
      if (key.startsWith(`${deviceId}\n`)) {
        this.#pending.delete(key);
        this.#pendingPoints -= points.length;
      }
    this.#total = undefined;
  }

  /** Looks at the tables again when it matters next: after a failed commit, what was added is not there. */
  recount(): void {
    for (const { key, points } of this.#unsettled.toReversed()) {
      this.#pending.set(key, [...points, ...(this.#pending.get(key) ?? [])]);
      this.#pendingPoints += points.length;
    }
    this.#unsettled = [];
    this.#clear();
    this.#total = undefined;
  }

  #clear(): void {
    this.#kept.clear();
    this.#lastBlocks.clear();
  }

  /** @returns how many of the points, from the first on, went into one block */
  #storeSome(
    key: string,
    [deviceId, name]: readonly [string, string],
    points: readonly HistoryPoint[],
  ): number {
    const last = this.#lastBlock(key, deviceId, name);
    const into = last && hasRoom(last) ? last : undefined;
    const { taken, ...block } = extendBlock(into, points);
    const { base, since, until } = block;
    const data = writePoints(taken, base);
    if (into) this.#append.run(since, until, block.points, data, into.id);
    const id = into?.id ?? this.#insert.get(deviceId, name, base, since, until, block.points, data)?.id ?? 0;
    this.#lastBlocks.set(key, { ...block, id });
    return taken.length;
  }

  #lastBlock(key: string, deviceId: string, name: string): LastBlock | undefined {
    if (!this.#lastBlocks.has(key)) this.#lastBlocks.set(key, this.#last.get(deviceId, name) ?? undefined);
    return this.#lastBlocks.get(key);
  }

  /** Drops so many of the oldest points of blocks. @returns how many it dropped; fewer when there are more blocks than were read */
  #drop(over: number, oldest: () => readonly BlockRow[]): number {
    let dropped = 0;
    for (const row of oldest()) {
      const most = over - dropped;
      if (most <= 0) break;
      if (row.points <= most) {
        this.#remove.run(row.id);
        dropped += row.points;
      } else {
        const left = readPoints(row).slice(most);
        this.#rewrite.run(left.length, writePoints(left, row.base), row.id);
        dropped += most;
      }
    }
    return dropped;
  }

  /** Points from the future were written under a clock that was ahead; those before a block too old are older than that. */
  #dropAged(nowMs: number, beforeMs: number): { readonly blocks: number; readonly points: number } {
    const last = this.#lastAged.get(nowMs, trimStep, beforeMs)?.last ?? undefined;
    const rows = last === undefined ? [] : this.#trimAged.all(last, beforeMs, nowMs, trimStep);
    return { blocks: rows.length, points: rows.reduce((sum, { points }) => sum + points, 0) };
  }
}

function keyOf(deviceId: string, name: string): string {
  return `${deviceId}\n${name}`;
}

function hasRoom({ points, since, until }: LastBlock): boolean {
  return points < pointsABlock && until - since < longestBlockMs;
}

/** A block with as many of the points, from the first on, as fit into it. @param into undefined: a new one */
function extendBlock(
  into: LastBlock | undefined,
  points: readonly HistoryPoint[],
): Omit<LastBlock, "id"> & { readonly taken: readonly HistoryPoint[] } {
  const first = points[0]?.at ?? 0;
  const before = into ?? { base: first, points: 0, since: first, until: first };
  const some = points.slice(0, pointsABlock - before.points);
  const tooFar = some.findIndex(({ at }) => Math.abs(at - before.since) > longestBlockMs);
  const taken = tooFar > 0 ? some.slice(0, tooFar) : some;
  const times = taken.map(({ at }) => at);
  return {
    base: before.base,
    points: before.points + taken.length,
    since: Math.min(before.since, ...times),
    until: Math.max(before.until, ...times),
    taken,
  };
}
