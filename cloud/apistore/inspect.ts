import { Database } from "bun:sqlite";
import { isExpendable, nameOf } from "./damage.ts";
import { explainDatabase } from "./database.ts";
import { readKeyRing } from "./key-ring.ts";
import { damagedSettings, scan, usedKeys } from "./load.ts";
import { Sealing } from "./sealing.ts";

/**
 * Reads a database through as it is, also beside the cloudcore that has it open (`inUse`).
 * @returns what is wrong with it, undefined when it can be used
 */
export function findDatabaseFault(path: string, keyFile: string, inUse: boolean): string | undefined {
  try {
    // Who may only read leaves a log behind when nobody else has the database open.
    using database = new Database(path, inUse ? { readonly: true } : { readwrite: true });
    const [found] = database.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").all();
    if (found?.quick_check !== "ok") return `it is damaged (${found?.quick_check})`;
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
