import { Database } from "bun:sqlite";
import {
  damagedSettings,
  explainDatabase,
  isExpendable,
  moveAside,
  nameOf,
  openRevisionDatabase,
  openKeyRing,
  readKeyRing,
  saveSetting,
  scan,
  Sealing,
  settingOf,
  usedKeys,
  type DamagedRow,
  type RowPlace,
} from "#cloud/kube-api/store/file";
import type { KubeObject } from "#shared/kube";
import { findDamage } from "#shared/sqlite";

export interface Repair {
  /** e.g. `pods default/web` */
  readonly object: string;
  /** The earlier revision that was restored; undefined: none was kept, or the row was not the current state. */
  readonly restored: number | undefined;
  readonly current: boolean;
}

type StoredRow = RowPlace & {
  readonly value: string;
  readonly previous: number | null;
  readonly deleted: number;
};

/**
 * Restores the latest readable state of every damaged object, as a new revision, and sets the damaged rows aside. The
 * database must not be open elsewhere. @throws ConfigError
 */
export function repairDatabase(path: string, keyFile: string): Repair[] {
  const database = openRevisionDatabase(path);
  try {
    const sealing = new Sealing(openKeyRing(keyFile, path, usedKeys(database)));
    const { damaged, revision } = scan(database, sealing);
    return database.transaction(() => repairAll(database, { sealing, damaged, revision }))();
  } catch (error) {
    throw explainDatabase(path, error);
  } finally {
    database.close();
  }
}

function repairAll(
  database: Database,
  found: { readonly sealing: Sealing; readonly damaged: readonly DamagedRow[]; readonly revision: number },
): Repair[] {
  const { sealing, damaged } = found;
  const bad = new Set(damaged.map(({ id }) => id));
  let next = found.revision;
  const repairs = damaged.map((row): Repair => {
    const before = row.current ? earlier(database, row, bad) : undefined;
    if (before) append(database, { sealing, before, id: (next += 1) });
    return { object: nameOf(row), restored: before?.id, current: row.current };
  });
  for (const name of damagedSettings(database, sealing)) {
    database.run("DELETE FROM settings WHERE name = ?", [name]);
    repairs.push({ object: `setting ${name}`, restored: undefined, current: true });
  }
  moveAside(database, damaged);
  if (damaged.length > 0) {
    const compacted = Math.max(next, Number(settingOf(database, "compacted") ?? 0));
    // Ids only grow, also when the last row is the one that was set aside.
    saveSetting(database, "compacted", String(compacted));
  }
  return repairs;
}

/** The latest state of the object that can be read, if the history still holds one. */
function earlier(database: Database, row: DamagedRow, bad: ReadonlySet<number>): StoredRow | undefined {
  const rows = database
    .query<StoredRow, [string, string, number]>(
      "SELECT id, resource, key, value, previous, deleted FROM revisions WHERE resource = ? AND key = ? AND id < ? ORDER BY id DESC",
    )
    .all(row.resource, row.key, row.id);
  const found = rows.find(({ id }) => !bad.has(id));
  return found?.deleted === 0 ? found : undefined;
}

function append(
  database: Database,
  { sealing, before, id }: { readonly sealing: Sealing; readonly before: StoredRow; readonly id: number },
): void {
  const { resource, key } = before;
  const object = JSON.parse(sealing.open(before, before.value)) as KubeObject;
  object.metadata.resourceVersion = String(id);
  const value = sealing.seal({ id, resource, key }, JSON.stringify(object));
  database.run(
    "INSERT INTO revisions (id, resource, key, previous, deleted, value) VALUES (?, ?, ?, NULL, 0, ?)",
    [id, resource, key, value],
  );
}

/**
 * Reads a database through as it is, also beside the cloudcore that has it open (`inUse`).
 * @returns the fault, undefined when it can be used
 */
export function findDatabaseFault(path: string, keyFile: string, inUse: boolean): string | undefined {
  try {
    // A read-only connection leaves a write-ahead log behind when no other process has the database open.
    using database = new Database(path, inUse ? { readonly: true } : { readwrite: true });
    const damage = findDamage(database);
    if (damage !== undefined) return `it is damaged (${damage})`;
    const tables = database.query<{ n: number }, []>("SELECT COUNT(*) AS n FROM sqlite_master").get();
    return tables?.n === 0 ? undefined : contentFault(database, keyFile);
  } catch (error) {
    return explainDatabase(path, error).message;
  }
}

function contentFault(database: Database, keyFile: string): string | undefined {
  const ring = readKeyRing(keyFile);
  const lost = [...usedKeys(database)].filter((id) => !ring?.has(id));
  if (lost.length > 0)
    return `its Secrets are encrypted with key ${lost.join(", ")}, which ${keyFile} does not contain`;
  const sealing = new Sealing(ring);
  const rows = scan(database, sealing).damaged.filter(
    ({ current, resource }) => current && !isExpendable(resource),
  );
  const names = [...damagedSettings(database, sealing).map((name) => `setting ${name}`), ...rows.map(nameOf)];
  return names.length === 0 ? undefined : `damaged: ${names.slice(0, 10).join(", ")}`;
}
