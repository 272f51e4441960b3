import type { Database } from "bun:sqlite";

export type LossKind = "folded" | "droppedReports" | "droppedUploads";

export interface Loss {
  /** Reports that went into later ones of their device: the latest of each property is kept. */
  readonly folded: number;
  readonly droppedReports: number;
  readonly droppedUploads: number;
}

export interface Losses extends Loss {
  /** Milliseconds since 1970 of the first and the latest of them; undefined when nothing was lost. */
  readonly sinceMs: number | undefined;
  readonly lastMs: number | undefined;
}

interface Row {
  readonly kind: LossKind;
  readonly messages: number;
  readonly since: number;
  readonly last: number;
}

/** What had to be given up of the outbox for want of room, counted over restarts. */
export class LossCounter {
  readonly #add;
  readonly #all;

  constructor(db: Database) {
    this.#add = db.query<never, [LossKind, number, number, number]>(
      `INSERT INTO outbox_loss (kind, messages, since, last) VALUES (?, ?, ?, ?)
       ON CONFLICT (kind) DO UPDATE SET messages = messages + excluded.messages, last = excluded.last`,
    );
    this.#all = db.query<Row, []>("SELECT kind, messages, since, last FROM outbox_loss");
  }

  /** Call it inside the transaction that loses them. */
  add(kind: LossKind, messages: number, nowMs: number): void {
    if (messages > 0) this.#add.run(kind, messages, nowMs, nowMs);
  }

  read(): Losses {
    const rows = this.#all.all();
    const of = (kind: LossKind): number => rows.find((row) => row.kind === kind)?.messages ?? 0;
    return {
      folded: of("folded"),
      droppedReports: of("droppedReports"),
      droppedUploads: of("droppedUploads"),
      sinceMs: rows.length === 0 ? undefined : Math.min(...rows.map(({ since }) => since)),
      lastMs: rows.length === 0 ? undefined : Math.max(...rows.map(({ last }) => last)),
    };
  }
}
