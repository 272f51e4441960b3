import { Database } from "bun:sqlite";
import { existsSync, readFileSync, statSync } from "node:fs";
import { describeError } from "#shared/errors";
import { setDatabaseAside } from "#shared/files";
import type { Logger } from "#shared/log";
import { isDamage, openDatabase } from "./database.ts";
import { magic, repairHeader } from "./header.ts";

/** What this node should run and still has to say; the past values of devices are not worth a node that stays down. */
const tables = [
  "cloud",
  "meta",
  "device",
  "device_attr",
  "device_twin",
  "outbox",
  "outbox_loss",
  "mqtt_retained",
  "mqtt_subscription",
  "mqtt_packet",
  "mqtt_outgoing",
] as const;

const smallestPage = 512;

export interface SoundOptions {
  readonly nowMs: number;
  readonly log: Logger;
}

/**
 * Opens a database that is read through before it is used. Nobody may be able to reach this machine: a damaged one is
 * set aside, and a new one, with another name so that the cloud sends everything again, takes over what can still be read.
 */
export function openSoundDatabase(path: string, { nowMs, log }: SoundOptions): Database {
  const fault = faultOf(path);
  if (fault === undefined) return openDatabase(path);
  const aside = setDatabaseAside(path, nowMs);
  const fresh = openDatabase(path);
  const rescued = salvage(aside, fresh, path);
  log.error("database was damaged, moved it aside and created a new one from the readable rows", {
    database: path,
    fault,
    aside,
    rescued,
    lost: "history of devices, and unreadable rows",
  });
  return fresh;
}

function faultOf(path: string): string | undefined {
  if (!existsSync(path) || statSync(path).size === 0) return undefined;
  try {
    using db = openDatabase(path);
    const found = db.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check;
    return found === "ok" ? undefined : (found ?? "no answer");
  } catch (error) {
    if (isDamage(error) && wasDatabase(path)) return describeError(error);
    throw error;
  }
}

/** Another file that the configuration names by mistake is not ours to move. */
function wasDatabase(path: string): boolean {
  const start = readFileSync(path).subarray(0, magic.length).toString("latin1");
  return start === magic || statSync(path).size % smallestPage === 0;
}

/** @returns how many rows of each table came along */
function salvage(from: string, fresh: Database, path: string): Record<string, number> {
  const rescued: Record<string, number> = {};
  for (const table of tables) rescued[table] = 0;
  try {
    repairHeader(from, path);
    using old = new Database(from, { readwrite: true });
    for (const table of tables) rescued[table] = copyTable(old, fresh, table);
  } catch {
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
  } catch {
    return 0;
  }
}

function copyRows(old: Database, sql: string, put: (row: SqlValue[]) => number): number {
  let count = 0;
  try {
    for (const row of old.query<Record<string, SqlValue>, []>(sql).iterate())
      count += put(Object.values(row));
  } catch (error) {
    if (!isDamage(error)) throw error;
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
