import { Database } from "bun:sqlite";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { damageRefusal, setDamagedAside, type DamagedRow } from "./damage.ts";
import { explainDatabase } from "./database.ts";
import { headLength, keyIdOf } from "./key-ring.ts";
import { ResourceIndex } from "./resource-index.ts";
import { openKeyRing, Sealing, type RowPlace } from "./sealing.ts";

export interface LoadOptions {
  readonly path: string;
  /** Where the keys are that encrypt Secrets; without one nothing is encrypted. */
  readonly keyFile?: string | undefined;
  readonly log?: Logger | undefined;
}

export interface LoadedDatabase {
  readonly sealing: Sealing;
  readonly indexes: Map<string, ResourceIndex>;
  readonly revision: number;
  readonly compacted: number;
  /** The last process could not store revisions that were in its memory. */
  readonly isCut: boolean;
}

/** Revisions up to the value of this setting may have been given to clients and lost; there is none after a regular end. */
export const reservedName = "reserved";
const sealedWithName = "sealed-with";

/**
 * Reads the whole database: sets damaged rows aside or refuses them, and encrypts what is not encrypted with the current key
 * (of an older cloudcore, or after a key rotation).
 * @throws ConfigError
 */
export function loadDatabase(database: Database, options: LoadOptions): LoadedDatabase {
  const { keyFile, path } = options;
  const ring = keyFile === undefined ? undefined : openKeyRing(keyFile, path, usedKeys(database));
  const sealing = new Sealing(ring);
  const { indexes, revision, damaged } = scan(database, sealing);
  refuseDamagedSettings(database, sealing, path);
  if (damaged.length > 0) setDamagedAside(database, damaged, options);
  forget(indexes, damaged);
  const reserved = Number(settingOf(database, reservedName) ?? 0);
  const compacted = raiseCompacted(database, damaged, reserved);
  sealAll(database, sealing, options);
  // The number of a revision that was set aside is not used again, nor of one that clients may have seen and that is lost.
  return { sealing, indexes, revision: Math.max(revision, compacted), compacted, isCut: reserved > 0 };
}

export interface Scan {
  readonly indexes: Map<string, ResourceIndex>;
  readonly revision: number;
  readonly damaged: readonly DamagedRow[];
}

interface ScannedRow extends RowPlace {
  readonly deleted: number;
  readonly valid: number;
  /** only of what is encrypted */
  readonly value: string | null;
}

/** Reads every row; which of them are current is known at the end. */
export function scan(database: Database, sealing: Sealing): Scan {
  const indexes = new Map<string, ResourceIndex>();
  const broken: RowPlace[] = [];
  let revision = 0;
  const rows = database
    .query<ScannedRow, []>(
      `SELECT id, resource, key, deleted, resource = '/secrets' OR json_valid(value) AS valid,
         CASE WHEN resource = '/secrets' THEN value END AS value FROM revisions ORDER BY id`,
    )
    .iterate();
  for (const { id, resource, key, deleted, valid, value } of rows) {
    revision = id;
    let index = indexes.get(resource);
    if (!index) indexes.set(resource, (index = new ResourceIndex()));
    if (deleted === 1) index.delete(key);
    else index.set(key, id);
    if (valid !== 1 || !opens(sealing, { id, resource, key }, value)) broken.push({ id, resource, key });
  }
  const isCurrent = ({ id, resource, key }: RowPlace): boolean => indexes.get(resource)?.get(key) === id;
  return { indexes, revision, damaged: broken.map((row) => ({ ...row, current: isCurrent(row) })) };
}

/** Names of settings that cannot be opened. */
export function damagedSettings(database: Database, sealing: Sealing): string[] {
  const rows = database.query<{ name: string; value: string }, []>("SELECT name, value FROM settings").all();
  return rows
    .filter(({ name, value }) => !canOpen(() => sealing.openSetting(name, value)))
    .map(({ name }) => name);
}

function refuseDamagedSettings(database: Database, sealing: Sealing, path: string): void {
  const names = damagedSettings(database, sealing);
  if (names.length > 0)
    throw damageRefusal(
      path,
      names.map((name) => `setting ${name}`),
    );
}

function canOpen(open: () => unknown): boolean {
  try {
    open();
    return true;
  } catch {
    return false;
  }
}

function opens(sealing: Sealing, place: RowPlace, value: string | null): boolean {
  return value === null || canOpen(() => JSON.parse(sealing.open(place, value)));
}

function forget(indexes: ReadonlyMap<string, ResourceIndex>, damaged: readonly DamagedRow[]): void {
  for (const { resource, key, current } of damaged) if (current) indexes.get(resource)?.delete(key);
}

/** The history cannot be followed across a missing row. */
function raiseCompacted(database: Database, damaged: readonly DamagedRow[], reserved: number): number {
  const kept = Number(settingOf(database, "compacted") ?? 0);
  const needed = Math.max(kept, reserved, ...damaged.map(({ id }) => id));
  if (needed > kept) saveSetting(database, "compacted", String(needed));
  return needed;
}

/** Ids of the keys that something in the database is encrypted with. */
export function usedKeys(database: Database): Set<string> {
  const heads = database
    .query<{ head: string }, [number, number]>(
      `SELECT DISTINCT substr(value, 1, ?1) AS head FROM revisions WHERE resource = '/secrets'
       UNION SELECT substr(value, 1, ?2) FROM settings`,
    )
    .all(headLength, headLength);
  return new Set(heads.map(({ head }) => keyIdOf(head)).filter((id) => id !== undefined));
}

/** Encrypts what is not encrypted with the current key, then removes earlier content from free pages and the log of the file. */
function sealAll(database: Database, sealing: Sealing, { path, log }: LoadOptions): void {
  const { current } = sealing;
  if (current === undefined || settingOf(database, sealedWithName) === current) return;
  const isNew = database.query("SELECT 1 FROM revisions LIMIT 1").get() === null;
  try {
    const count = database.transaction(() => {
      sealSettings(database, sealing);
      return sealRows(database, sealing, current);
    })();
    if (!isNew) {
      database.run("VACUUM");
      database.run("PRAGMA wal_checkpoint(TRUNCATE)");
      log?.info("encrypted Secrets in the database", { database: path, rows: count, key: current });
    }
    saveSetting(database, sealedWithName, current);
  } catch (error) {
    log?.error("cannot encrypt existing rows, retrying at the next start", {
      database: path,
      error: describeError(error),
    });
  }
}

function sealRows(database: Database, sealing: Sealing, current: string): number {
  const read = database.prepare<RowPlace & { value: string }, [number]>(
    "SELECT id, resource, key, value FROM revisions WHERE id = ?",
  );
  const change = database.prepare("UPDATE revisions SET value = ? WHERE id = ?");
  const ids = database
    .query<{ id: number }, []>("SELECT id FROM revisions WHERE resource = '/secrets'")
    .all();
  let count = 0;
  for (const { id } of ids) {
    const row = read.get(id);
    if (!row || keyIdOf(row.value) === current) continue;
    change.run(sealing.seal(row, sealing.open(row, row.value)), id);
    count += 1;
  }
  return count;
}

function sealSettings(database: Database, sealing: Sealing): void {
  const rows = database.query<{ name: string; value: string }, []>("SELECT name, value FROM settings").all();
  for (const { name, value } of rows) {
    const sealed = sealing.sealSetting(name, sealing.openSetting(name, value));
    if (sealed !== value) saveSetting(database, name, sealed);
  }
}

/** A row of table `settings`, as stored (secret ones are encrypted). */
export function settingOf(database: Database, name: string): string | undefined {
  return database.query<{ value: string }, [string]>("SELECT value FROM settings WHERE name = ?").get(name)
    ?.value;
}

/** Stores a setting as it is. */
export function saveSetting(database: Database, name: string, value: string): void {
  database.run("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", [name, value]);
}

/** The id of the key that all of a database is encrypted with; also while cloudcore has it open. */
export function sealedWith(path: string): string | undefined {
  const database = new Database(path, { readwrite: true });
  try {
    return settingOf(database, sealedWithName);
  } catch (error) {
    throw explainDatabase(path, error);
  } finally {
    database.close();
  }
}
