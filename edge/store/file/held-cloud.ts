import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";

export interface HeldCloud {
  /** the database this node belongs to */
  readonly known: string;
  /** the one of the cloud held back */
  readonly found: string;
  readonly sinceMs: number;
}

/** The cloud a node holds back, read from its database as it is, also beside the edgecore that has it open (`inUse`). */
export function findHeldCloud(path: string, inUse: boolean): HeldCloud | undefined {
  if (!existsSync(path)) return undefined;
  try {
    using db = new Database(path, inUse ? { readonly: true } : { readwrite: true });
    const sql =
      "SELECT name AS known, other AS found, held_since AS sinceMs FROM cloud WHERE held_since IS NOT NULL";
    return db.query<HeldCloud, []>(sql).get() ?? undefined;
  } catch {
    // A fault of the database is another finding; one of an older edgecore has no such table.
    return undefined;
  }
}
