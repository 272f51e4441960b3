import { Database } from "bun:sqlite";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { KubeObject } from "#shared/kube";

const folder = join(import.meta.dir, "release-0.1.0");

/**
 * Makes a database of release 0.1.0: what its cloudcore and edgecore had after they were killed, with objects of all kinds, three pods
 * that run on one node, a device, and reports that were not sent yet.
 */
export function makeOldDatabase(
  name: "cloudcore" | "edgecore" | "telemetry",
  path: string,
  node: string,
): void {
  using database = new Database(path, { create: true });
  database.run("PRAGMA journal_mode = WAL");
  database.run(
    readFileSync(join(folder, `${name}.sql`), "utf8")
      .replaceAll("@node@", node)
      .replace("@service-account-key@", serviceAccountKey()),
  );
}

function serviceAccountKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

export interface OldObject {
  /** e.g. `apps/deployments` */
  readonly resource: string;
  /** `<namespace>/<name>` */
  readonly key: string;
  readonly object: KubeObject;
}

/** The objects that such a database of cloudcore has, as stored. */
export function oldObjects(path: string): readonly OldObject[] {
  using database = new Database(path, { readonly: true });
  const rows = database
    .query<{ resource: string; key: string; value: string; deleted: number }, []>(
      "SELECT resource, key, value, deleted, MAX(id) FROM revisions GROUP BY resource, key ORDER BY resource, key",
    )
    .all();
  return rows
    .filter(({ deleted }) => deleted === 0)
    .map(({ resource, key, value }) => ({ resource, key, object: JSON.parse(value) as KubeObject }));
}
