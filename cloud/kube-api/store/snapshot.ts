import { Database } from "bun:sqlite";
import {
  explainDatabase,
  openRevisionDatabase,
  openKeyRing,
  saveSetting,
  Sealing,
  settingOf,
  usedKeys,
  type RowPlace,
} from "#cloud/kube-api/store/file";
import { createPrivateFile } from "#shared/files";
import type { KubeObject } from "#shared/kube";

/** Skips revisions that clients may have seen of the lost database, as `etcdutl snapshot restore --bump-revision`. */
const revisionGap = 1_000_000_000;
const syncs: ReadonlySet<string> = new Set([
  "reliablesyncs.kubeedge.io/objectsyncs",
  "reliablesyncs.kubeedge.io/clusterobjectsyncs",
]);

/**
 * Copies a database, as it is at this moment, into a new file; another process may write to it meanwhile, which is slowed
 * down only by the reading. @throws ConfigError
 */
export function copyDatabase(path: string, target: string): void {
  let database: Database | undefined;
  try {
    createPrivateFile(target);
    database = new Database(path, { readwrite: true });
    database.run("PRAGMA busy_timeout = 10000");
    database.run("VACUUM INTO ?", [target]);
  } catch (error) {
    throw explainDatabase(path, error);
  } finally {
    database?.close();
  }
}

/** @throws ConfigError when the database is damaged, or what is encrypted in it takes a key that the file does not hold */
export function verifyDatabase(path: string, keyFile?: string): void {
  let database: Database | undefined;
  try {
    database = new Database(path, { readwrite: true });
    const [found] = database.query<{ integrity_check: string }, []>("PRAGMA integrity_check(1)").all();
    if (found?.integrity_check !== "ok")
      throw Object.assign(new Error(found?.integrity_check ?? "no answer"), { code: "SQLITE_CORRUPT" });
    const keys = keyFile === undefined ? new Set<string>() : usedKeys(database);
    if (keyFile !== undefined && keys.size > 0) openKeyRing(keyFile, path, keys);
  } catch (error) {
    throw explainDatabase(path, error);
  } finally {
    database?.close();
  }
}

/**
 * Prepares a copy to replace its database. Every object gets a revision above all that clients and nodes may have seen of the
 * lost database, whose content they would take for newer otherwise; acknowledgements of nodes are removed, so that each
 * gets the restored state.
 */
export function renumberDatabase(path: string, keyFile: string): { readonly objects: number } {
  const database = openRevisionDatabase(path);
  try {
    const sealing = new Sealing(openKeyRing(keyFile, path, usedKeys(database)));
    const objects = database.transaction(() => renumber(database, sealing))();
    database.run("VACUUM");
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    return { objects };
  } catch (error) {
    throw explainDatabase(path, error);
  } finally {
    database.close();
  }
}

function renumber(database: Database, sealing: Sealing): number {
  const current = database
    .query<{ id: number }, []>(
      `SELECT id FROM (SELECT MAX(id) AS id, deleted FROM revisions GROUP BY resource, key)
       WHERE deleted = 0 ORDER BY id`,
    )
    .all();
  const newest = database.query<{ id: number | null }, []>("SELECT MAX(id) AS id FROM revisions").get();
  const last = Math.max(newest?.id ?? 0, Number(settingOf(database, "compacted") ?? 0));
  const read = database.prepare<RowPlace & { value: string }, [number]>(
    "SELECT id, resource, key, value FROM revisions WHERE id = ?",
  );
  const write = database.prepare(
    "INSERT INTO revisions (id, resource, key, previous, deleted, value) VALUES (?, ?, ?, NULL, 0, ?)",
  );
  let next = last + revisionGap;
  for (const { id } of current) {
    const row = read.get(id);
    if (row) write.run(...renumbered(row, (next += 1), sealing));
  }
  database.run("DELETE FROM revisions WHERE id <= ?", [last]);
  saveSetting(database, "compacted", String(next));
  return current.length;
}

function renumbered(
  row: RowPlace & { value: string },
  id: number,
  sealing: Sealing,
): [number, string, string, string] {
  const { resource, key } = row;
  const object = JSON.parse(sealing.open(row, row.value)) as KubeObject;
  object.metadata.resourceVersion = String(id);
  if (syncs.has(resource)) delete object["status"];
  return [id, resource, key, sealing.seal({ id, resource, key }, JSON.stringify(object))];
}
