import { Database } from "bun:sqlite";
import { closeSync, existsSync, openSync, readSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { describeError } from "#shared/errors";
import { setDatabaseAside, syncFolder } from "#shared/files";
import type { Logger } from "#shared/log";
import { findDamage, isDamage } from "#shared/sqlite";
import { isFull, isUnreadable, openEdgeDatabase } from "./database.ts";
import { magic, repairHeader } from "./header.ts";

/** The desired state of this node and what waits for the cloud; the history of devices is not worth a node that stays down. */
const tables = [
  "cloud",
  "meta",
  "device",
  "device_attr",
  "device_twin",
  "device_journal",
  "outbox",
  "outbox_loss",
  "mqtt_retained",
  "mqtt_subscription",
  "mqtt_packet",
  "mqtt_session",
  "mqtt_clock",
  "mqtt_outgoing",
] as const;

const smallestPage = 512;

export interface SoundOptions {
  readonly nowMs: number;
  readonly log: Logger;
}

/**
 * Opens a database that is read through before it is used. An operator may not be able to reach this machine: a damaged one is
 * set aside, and a new one, with another name so that the cloud sends everything again, takes over what can still be read.
 * Power may fail meanwhile, and again: the damaged one stays in its place until the new one is whole and on disk.
 */
export function openSoundEdgeDatabase(path: string, { nowMs, log }: SoundOptions): Database {
  if (existsSync(rescuedName(path))) {
    const aside = putInPlace(path, nowMs);
    log.warn("finished the rescue of a damaged database that was interrupted", { database: path, aside });
    return openEdgeDatabase(path);
  }
  const fault = faultOf(path);
  if (fault === undefined) return openEdgeDatabase(path);
  const rescued = rescue(path);
  const aside = putInPlace(path, nowMs);
  log.error("database was damaged, moved it aside and created a new one from the readable rows", {
    database: path,
    fault,
    aside,
    rescued,
    lost: "history of devices, and unreadable rows",
  });
  return openEdgeDatabase(path);
}

/** Has this name once it is whole: from then on it takes the place of the damaged one, whatever happens. */
function rescuedName(path: string): string {
  return `${path}.rescued`;
}

function rescue(path: string): Record<string, number> {
  const partial = `${path}.rescuing`;
  const removeAll = (...ends: readonly string[]): void => {
    for (const end of ends) rmSync(`${partial}${end}`, { force: true });
  };
  removeAll("", "-wal", "-shm");
  const fresh = openEdgeDatabase(partial);
  const rescued = salvage(path, fresh, partial);
  // Closing puts the log into the file, all of it or with an error.
  fresh.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  fresh.close(true);
  removeAll("-wal", "-shm");
  renameSync(partial, rescuedName(path));
  syncFolder(dirname(path));
  return rescued;
}

function putInPlace(path: string, nowMs: number): string {
  const aside = setDatabaseAside(path, nowMs);
  renameSync(rescuedName(path), path);
  syncFolder(dirname(path));
  return aside;
}

function faultOf(path: string): string | undefined {
  if (!existsSync(path) || statSync(path).size === 0) return undefined;
  try {
    using db = openEdgeDatabase(path);
    return findDamage(db);
  } catch (error) {
    if (isUnreadable(error) || (isDamage(error) && wasDatabase(path))) return describeError(error);
    throw error;
  }
}

/** Another file that the configuration names by mistake must not be moved. */
function wasDatabase(path: string): boolean {
  return startOf(path) === magic || statSync(path).size % smallestPage === 0;
}

function startOf(path: string): string {
  const file = openSync(path, "r");
  try {
    const start = Buffer.alloc(magic.length);
    return start.toString("latin1", 0, readSync(file, start, 0, start.length, 0));
  } finally {
    closeSync(file);
  }
}

/** @returns how many rows of each table came along */
function salvage(source: string, fresh: Database, path: string): Record<string, number> {
  const rescued: Record<string, number> = {};
  for (const table of tables) rescued[table] = 0;
  try {
    repairHeader(source, path);
    using old = new Database(source, { readwrite: true });
    for (const table of tables) rescued[table] = copyTable(old, fresh, table);
  } catch (error) {
    if (isFull(error)) throw error;
    // Nothing can be read of it at all.
  }
  return rescued;
}

/** From both ends up to the first row that cannot be read. */
function copyTable(old: Database, fresh: Database, table: string): number {
  try {
    const known = new Set(columnsOf(fresh, table));
    const columns = columnsOf(old, table).filter((name) => known.has(name));
    if (columns.length === 0) return 0;
    const names = columns.join(", ");
    const insert = fresh.prepare(
      `INSERT OR IGNORE INTO ${table} (${names}) VALUES (${columns.map(() => "?").join(", ")})`,
    );
    const key = keyOf(old, table);
    return fresh.transaction(() =>
      ["ASC", "DESC"].reduce((sum, order) => {
        const sql = `SELECT ${names} FROM ${table} ORDER BY ${key.map((one) => `${one} ${order}`).join(", ")}`;
        return sum + copyRows(old, sql, (row) => insert.run(...row).changes);
      }, 0),
    )();
  } catch (error) {
    // There is no room for what could be read: it stays where it is until there is.
    if (isFull(error)) throw error;
    return 0;
  }
}

function copyRows(old: Database, sql: string, put: (row: SqlValue[]) => number): number {
  let count = 0;
  try {
    for (const row of old.query<Record<string, SqlValue>, []>(sql).iterate())
      count += put(Object.values(row));
  } catch (error) {
    if (!isDamage(error) && !isUnreadable(error)) throw error;
  }
  return count;
}

type SqlValue = string | number | bigint | Uint8Array | null;

interface Column {
  readonly name: string;
  readonly pk: number;
}

function infoOf(database: Database, table: string): Column[] {
  return database.query<Column, []>(`SELECT name, pk FROM pragma_table_info('${table}')`).all();
}

function columnsOf(database: Database, table: string): string[] {
  return infoOf(database, table).map(({ name }) => name);
}

/** The order rows are stored in. */
function keyOf(database: Database, table: string): string[] {
  const keys = infoOf(database, table).filter(({ pk }) => pk > 0);
  return keys.toSorted((a, b) => a.pk - b.pk).map(({ name }) => name);
}
