import type { Database } from "bun:sqlite";
import { ConfigError, quote } from "#shared/errors";
import type { Logger } from "#shared/log";

/** A row whose object cannot be read. */
export interface DamagedRow {
  readonly id: number;
  readonly resource: string;
  readonly key: string;
  /** Whether it is the object as it is now, and no older state of it. */
  readonly current: boolean;
}

/** Objects that their writers create again, or that are only records: nothing is deleted because they are missing. */
const expendable: ReadonlySet<string> = new Set([
  "/events",
  "/endpoints",
  "events.k8s.io/events",
  "coordination.k8s.io/leases",
  "discovery.k8s.io/endpointslices",
  "reliablesyncs.kubeedge.io/objectsyncs",
  "reliablesyncs.kubeedge.io/clusterobjectsyncs",
]);

/** Whether an object of a resource can be missing without consequences. */
export function isExpendable(resource: string): boolean {
  return expendable.has(resource);
}

/** Objects that a message names. */
const mostNamed = 10;

/**
 * Sets damaged rows aside when only expendable objects are affected. Objects that depend on any other missing object would be
 * garbage collected, pods of a node among them, so that an operator has to decide.
 * @throws ConfigError naming file, objects and the way out
 */
export function setDamagedAside(
  database: Database,
  rows: readonly DamagedRow[],
  { path, log }: { readonly path: string; readonly log?: Logger | undefined },
): void {
  const vital = rows.filter(({ current, resource }) => current && !isExpendable(resource));
  if (vital.length > 0)
    throw damageRefusal(
      path,
      vital.map((row) => `${nameOf(row)} (row ${row.id})`),
    );
  moveAside(database, rows);
  for (const row of rows)
    log?.error("damaged row set aside", {
      database: path,
      object: nameOf(row),
      revision: row.id,
      current: row.current,
    });
}

/** Moves rows to table `damaged`; the history before them can no longer be followed. */
export function moveAside(database: Database, rows: readonly DamagedRow[]): void {
  database.transaction(() => {
    for (const { id } of rows) {
      database.run(
        "INSERT OR REPLACE INTO damaged SELECT id, resource, key, CAST(value AS BLOB) FROM revisions WHERE id = ?",
        [id],
      );
      database.run("DELETE FROM revisions WHERE id = ?", [id]);
    }
  })();
}

/** `<resource> <namespace>/<name>`, e.g. `pods default/web` */
export function nameOf({ resource, key }: Pick<DamagedRow, "resource" | "key">): string {
  return `${resource.replace(/^\//, "")} ${key.replace(/^\//, "")}`;
}

/** `objects`: names of what is damaged. */
export function damageRefusal(path: string, objects: readonly string[]): ConfigError {
  const more = objects.length > mostNamed ? ` and ${objects.length - mostNamed} more` : "";
  return new ConfigError(
    "damaged-rows",
    `Cannot use database ${quote(path)}: damaged: ${objects.slice(0, mostNamed).join(", ")}${more}; restore a backup (\`cloudcore restore FILE\`), or run \`cloudcore repair\`: it restores earlier revisions where the history has them and removes the other objects`,
  );
}
