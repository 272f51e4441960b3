import type { Database } from "bun:sqlite";
import { randomUUID } from "node:crypto";
import type { Outbox } from "./outbox.ts";

interface Row {
  readonly id: number;
  readonly message: string;
  readonly bytes: number;
}

interface Report {
  readonly header?: object;
  readonly route?: { readonly resource?: string };
  readonly content?: { readonly twin?: Readonly<Record<string, object>> } | null;
}

const step = 2000;

/**
 * Makes room among the device reports that wait in the outbox: the oldest reports of a device become one that has the
 * latest of each property, in the place of the last of them; the oldest uploads go. What is on its way to the cloud is
 * left alone: an answer to it must not be taken for one to what it was folded into.
 */
export class Backlog {
  readonly #db: Database;
  readonly #outbox: Pick<Outbox, "sentUpTo">;
  readonly #slice;
  readonly #rewrite;
  readonly #remove;

  constructor(db: Database, outbox: Pick<Outbox, "sentUpTo">) {
    this.#db = db;
    this.#outbox = outbox;
    this.#slice = db.query<Row, [string, number, number]>(
      "SELECT id, message, bytes FROM outbox WHERE lane = ? AND key IS NULL AND id > ? ORDER BY id LIMIT ?",
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
        let after = this.#outbox.sentUpTo;
        while (freed < wantedBytes) {
          const rows = this.#slice.all(lane, after, step);
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
    let bytes = 0;
    let messages = 0;
    for (const group of reportsByDevice(rows)) {
      const last = group.at(-1);
      if (!last || group.length < 2) continue;
      const twin = Object.assign({}, ...group.map(({ report }) => report.content?.twin)) as object;
      // The cloud may know the old id from an earlier link and take the message for a repetition.
      const header = { ...last.report.header, msg_id: randomUUID() };
      const text = JSON.stringify({ ...last.report, header, content: { ...last.report.content, twin } });
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

interface Waiting {
  readonly row: Row;
  readonly report: Report;
}

function reportsByDevice(rows: readonly Row[]): Iterable<readonly Waiting[]> {
  const groups = new Map<string, Waiting[]>();
  for (const row of rows) {
    const report = readReport(row.message);
    if (!report?.content?.twin) continue;
    const resource = report.route?.resource ?? "";
    const group = groups.get(resource);
    if (group) group.push({ row, report });
    else groups.set(resource, [{ row, report }]);
  }
  return groups.values();
}

function readReport(message: string): Report | undefined {
  try {
    return JSON.parse(message) as Report;
  } catch {
    return undefined;
  }
}
