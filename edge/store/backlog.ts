import type { Database } from "bun:sqlite";

interface Row {
  readonly id: number;
  readonly message: string;
  readonly bytes: number;
}

interface Report {
  readonly route?: { readonly resource?: string };
  readonly content?: { readonly twin?: Readonly<Record<string, object>> } | null;
}

/** Rows at the head of the line may be on their way to the cloud: they are left alone. */
const inFlight = 1024;
const step = 2000;

/**
 * Makes room among the device reports that wait in the outbox: the oldest reports of a device become one that has the
 * latest of each property, in the place of the last of them; the oldest uploads go.
 */
export class Backlog {
  readonly #db: Database;
  readonly #slice;
  readonly #rewrite;
  readonly #remove;

  constructor(db: Database) {
    this.#db = db;
    this.#slice = db.query<Row, [string, number, number, number]>(
      "SELECT id, message, bytes FROM outbox WHERE lane = ? AND key IS NULL AND id > ? ORDER BY id LIMIT ? OFFSET ?",
    );
    this.#rewrite = db.query<never, [string, number, number]>(
      "UPDATE outbox SET message = ?, bytes = ? WHERE id = ?",
    );
    this.#remove = db.query<never, [number]>("DELETE FROM outbox WHERE id = ?");
  }

  /** Frees at least `wantedBytes` where there is so much. @returns how many messages went into others or were dropped */
  fold(wantedBytes: number): number {
    return this.#db.transaction(() => {
      let freed = 0;
      let folded = 0;
      for (const lane of ["twin", "upload"]) {
        let after = 0;
        for (let offset = inFlight; freed < wantedBytes; offset = 0) {
          const rows = this.#slice.all(lane, after, step, offset);
          const last = rows.at(-1);
          if (!last) break;
          after = last.id;
          const done = lane === "twin" ? this.#foldReports(rows) : this.#drop(rows);
          freed += done.bytes;
          folded += done.messages;
        }
      }
      return folded;
    })();
  }

  #foldReports(rows: readonly Row[]): { bytes: number; messages: number } {
    const groups = new Map<string, { row: Row; report: Report }[]>();
    for (const row of rows) {
      const report = JSON.parse(row.message) as Report;
      const resource = report.route?.resource ?? "";
      if (report.content?.twin) groups.set(resource, [...(groups.get(resource) ?? []), { row, report }]);
    }
    let bytes = 0;
    let messages = 0;
    for (const group of groups.values()) {
      const last = group.at(-1);
      if (!last || group.length < 2) continue;
      const twin = Object.assign({}, ...group.map(({ report }) => report.content?.twin)) as object;
      const text = JSON.stringify({ ...last.report, content: { ...last.report.content, twin } });
      const size = Buffer.byteLength(text);
      this.#rewrite.run(text, size, last.row.id);
      for (const { row } of group.slice(0, -1)) this.#remove.run(row.id);
      bytes += group.reduce((sum, { row }) => sum + row.bytes, 0) - size;
      messages += group.length - 1;
    }
    return { bytes, messages };
  }

  #drop(rows: readonly Row[]): { bytes: number; messages: number } {
    for (const row of rows) this.#remove.run(row.id);
    return { bytes: rows.reduce((sum, row) => sum + row.bytes, 0), messages: rows.length };
  }
}
