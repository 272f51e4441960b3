import type { Database } from "bun:sqlite";

export interface CloudRecord {
  /** the database of the cloud this node belongs to */
  readonly name: string;
  /** the last other one met, null when there never was one */
  readonly other: string | null;
  /** since when the other one is held back, null when it is not */
  readonly heldSince: number | null;
}

/** Which cloud this node belongs to, by the name of that cloud's database. */
export class KnownCloud {
  readonly #read;
  readonly #write;

  constructor(db: Database) {
    this.#read = db.query<CloudRecord, []>("SELECT name, other, held_since AS heldSince FROM cloud");
    this.#write = db.query<never, [string, string | null, number | null]>(
      "INSERT OR REPLACE INTO cloud (id, name, other, held_since) VALUES (1, ?, ?, ?)",
    );
  }

  /** @returns undefined when no cloud has named its database yet */
  read(): CloudRecord | undefined {
    return this.#read.get() ?? undefined;
  }

  write({ name, other, heldSince }: CloudRecord): void {
    this.#write.run(name, other, heldSince);
  }

  /** From now on the other cloud is accepted. @returns its name, undefined when none is held back */
  adopt(): string | undefined {
    const record = this.read();
    if (!record || record.heldSince === null || record.other === null) return undefined;
    this.write({ name: record.other, other: record.name, heldSince: null });
    return record.other;
  }
}
