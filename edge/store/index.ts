import { openDatabase } from "./database.ts";
import { Metas } from "./metas.ts";
import { Outbox } from "./outbox.ts";

export type { Meta, Metas } from "./metas.ts";
export type { Outbox, OutboxEntry } from "./outbox.ts";

/** The edge's one database. All calls are synchronous; a call that returned is on disk. */
export interface Store extends Disposable {
  readonly metas: Metas;
  readonly outbox: Outbox;
  /** Runs `work` in one transaction (nested calls join it): all of it is on disk, or none. */
  transaction<T>(work: () => T): T;
}

/** @throws ConfigError when the file cannot be opened or was written by a newer edgecore */
export function openStore(path: string): Store {
  const db = openDatabase(path);
  return {
    metas: new Metas(db),
    outbox: new Outbox(db),
    transaction: (work) => db.transaction(work).immediate(),
    [Symbol.dispose]: () => db.close(false),
  };
}
