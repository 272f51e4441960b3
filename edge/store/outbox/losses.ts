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

interface LossRow {
  readonly kind: string;
  readonly messages: number;
  readonly since: number;
  readonly last: number;
}

const kinds: readonly LossKind[] = ["folded", "droppedReports", "droppedUploads"];

/** What was dropped from the outbox for want of room, and what of it was reported, counted over restarts. */
export class LossCounter {
  readonly #add;
  readonly #all;
  readonly #putReported;

  constructor(db: Database) {
    this.#add = db.query<never, [LossKind, number, number, number]>(
      `INSERT INTO outbox_loss (kind, messages, since, last) VALUES (?, ?, ?, ?)
       ON CONFLICT (kind) DO UPDATE SET messages = messages + excluded.messages, last = excluded.last`,
    );
    this.#all = db.query<LossRow, []>("SELECT kind, messages, since, last FROM outbox_loss");
    this.#putReported = db.query<never, [string, number, number, number]>(
      "INSERT OR REPLACE INTO outbox_loss (kind, messages, since, last) VALUES (?, ?, ?, ?)",
    );
  }

  /** Call it inside the transaction that loses them. */
  add(kind: LossKind, messages: number, nowMs: number): void {
    if (messages > 0) this.#add.run(kind, messages, nowMs, nowMs);
  }

  read(): Losses {
    const rows = this.#all.all().filter(({ kind }) => kinds.some((known) => known === kind));
    return {
      ...countsOf(rows, (kind) => kind),
      sinceMs: rows.length === 0 ? undefined : Math.min(...rows.map(({ since }) => since)),
      lastMs: rows.length === 0 ? undefined : Math.max(...rows.map(({ last }) => last)),
    };
  }

  /** What of the counts was reported by Events. */
  reported(): Loss {
    return countsOf(this.#all.all(), reportedKind);
  }

  setReported(loss: Loss, nowMs: number): void {
    for (const kind of kinds) this.#putReported.run(reportedKind(kind), loss[kind], nowMs, nowMs);
  }
}

/** Databases hold the reported counts under this name. */
function reportedKind(kind: LossKind): string {
  return `told ${kind}`;
}

function countsOf(rows: readonly LossRow[], nameOf: (kind: LossKind) => string): Loss {
  const countOf = (kind: LossKind): number => rows.find((row) => row.kind === nameOf(kind))?.messages ?? 0;
  return {
    folded: countOf("folded"),
    droppedReports: countOf("droppedReports"),
    droppedUploads: countOf("droppedUploads"),
  };
}
