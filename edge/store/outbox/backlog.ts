import type { Database } from "bun:sqlite";
import type { Loss, LossCounter, Losses, LossKind } from "./losses.ts";
import { reportLane, uploadLane, type Outbox } from "./outbox.ts";

interface Row {
  readonly id: number;
  readonly bytes: number;
}

/** A report of a device's values, read from the frame that waits. */
export interface FoldableReport {
  /** Reports with the same one may become one. A device created again under its name is another one. */
  readonly device: string;
  /** The latest of each property. */
  readonly twins: Readonly<Record<string, unknown>>;
  /** The frame with other twins, and another id: the cloud may take a known one for a repetition. */
  readonly withTwins: (twins: ReadonlyMap<string, unknown>) => string;
}

export interface FoldParts {
  readonly nowMs: () => number;
  /** @returns undefined for a frame that is no report of values */
  readonly readReport: (frame: string) => FoldableReport | undefined;
}

interface Step {
  readonly bytes: number;
  readonly messages: number;
}

/** Rows and bytes that are looked at in one step, during which nothing else of the process runs. */
const rowsAStep = 500;
const bytesAStep = 1_000_000;

/**
 * Makes room among the messages that wait in the outbox. First the oldest reports of a device that an older edgecore or a process
 * before this one left become one that has the latest of each property, in the place of the last of them; then the oldest uploads
 * go, and in the end the oldest reports, folded as they are. What is on its way to the cloud is left alone: an answer to it must not be taken for one
 * to what it was folded into. Rows with a key other than reports are bounded by themselves and stay. Everything lost is counted.
 */
export class Backlog {
  /** Bytes on disk for messages that wait; set by the one that calls `fold`. */
  limitBytes = 0;
  readonly #db: Database;
  readonly #outbox: Pick<Outbox, "sentUpTo" | "drop">;
  readonly #losses: LossCounter;
  readonly #slice;
  readonly #message;
  readonly #rewrite;
  readonly #remove;
  /** The one row of a device up to `#foldedUpTo` that the earlier ones went into. */
  readonly #carriers = new Map<string, number>();
  #foldedUpTo = 0;
  #sentBefore = 0;

  constructor(db: Database, outbox: Pick<Outbox, "sentUpTo" | "drop">, losses: LossCounter) {
    this.#db = db;
    this.#outbox = outbox;
    this.#losses = losses;
    this.#slice = db.query<Row, [string, number, number]>(
      `SELECT id, bytes FROM outbox WHERE lane = ? AND id > ? AND (key IS NULL OR lane = '${reportLane}')
       ORDER BY id LIMIT ?`,
    );
    this.#message = db.query<{ message: string; bytes: number }, [number]>(
      "SELECT message, bytes FROM outbox WHERE id = ?",
    );
    this.#rewrite = db.query<never, [string, number, number]>(
      "UPDATE outbox SET message = ?, bytes = ? WHERE id = ?",
    );
    this.#remove = db.query<never, [number]>("DELETE FROM outbox WHERE id = ?");
  }

  /** All that was lost so far, over restarts. */
  losses(): Losses {
    return this.#losses.read();
  }

  /**
   * Frees `wantedBytes` where there is so much. Each step is on disk when it is yielded: the caller may do other things in
   * between.
   */
  *fold(wantedBytes: number, { nowMs, readReport }: FoldParts): Generator<Loss, void> {
    let left = wantedBytes;
    const ways: readonly [LossKind, (bytes: number) => Step | undefined][] = [
      ["folded", () => this.#foldReports(readReport)],
      ["droppedUploads", (bytes) => this.#drop(uploadLane, bytes)],
      ["droppedReports", (bytes) => this.#drop("twin", bytes)],
      ["droppedReports", (bytes) => this.#drop(reportLane, bytes)],
    ];
    for (const [kind, step] of ways) {
      while (left > 0) {
        const freed = this.#commit(() => {
          const taken = step(left);
          this.#losses.add(kind, taken?.messages ?? 0, nowMs());
          return taken;
        });
        if (!freed) break;
        left -= freed.bytes;
        yield { folded: 0, droppedReports: 0, droppedUploads: 0, [kind]: freed.messages };
      }
    }
  }

  #commit(work: () => Step | undefined): Step | undefined {
    try {
      return this.#db.transaction(work)();
    } catch (error) {
      // Nothing of the step is on disk.
      this.#foldedUpTo = 0;
      this.#carriers.clear();
      throw error;
    }
  }

  /** @returns undefined when all that may be folded is */
  #foldReports(readReport: FoldParts["readReport"]): Step | undefined {
    const { others: sentUpTo } = this.#outbox.sentUpTo;
    // After a cut what was on its way waits again, and may be folded.
    if (sentUpTo < this.#sentBefore) this.#foldedUpTo = 0;
    this.#sentBefore = sentUpTo;
    const rows = withinBytes(this.#slice.all("twin", Math.max(this.#foldedUpTo, sentUpTo), rowsAStep));
    const last = rows.at(-1);
    if (!last) return undefined;
    const groups = new Map<string, Group>();
    const read = (id: number): FoldableReport | undefined => {
      const found = this.#message.get(id);
      return found ? readReport(found.message) : undefined;
    };
    for (const row of rows) {
      const report = read(row.id);
      if (!report) continue;
      const group = groups.get(report.device) ?? this.#carried(report.device, row.id, read);
      groups.set(report.device, addReport(group, row, report));
    }
    let bytes = 0;
    let messages = 0;
    for (const [device, group] of groups) {
      bytes += this.#write(group);
      messages += group.earlier.length;
      this.#carriers.set(device, group.last);
    }
    this.#foldedUpTo = last.id;
    return { bytes, messages };
  }

  /** What earlier steps folded of a device, unless it has left since. */
  #carried(
    device: string,
    before: number,
    read: (id: number) => FoldableReport | undefined,
  ): Group | undefined {
    const id = this.#carriers.get(device);
    if (id === undefined || id >= before || id <= this.#outbox.sentUpTo.others) return undefined;
    const report = read(id);
    const bytes = this.#message.get(id)?.bytes ?? 0;
    return report?.device === device ? addReport(undefined, { id, bytes }, report) : undefined;
  }

  /** @returns the bytes it saved */
  #write({ last, earlier, report, twins, bytes }: Group): number {
    if (earlier.length === 0) return 0;
    const frame = report.withTwins(twins);
    const size = Buffer.byteLength(frame);
    this.#rewrite.run(frame, size, last);
    for (const id of earlier) this.#remove.run(id);
    return bytes - size;
  }

  /** Drops the oldest of a lane, no more than has to be. */
  #drop(lane: string, wantedBytes: number): Step | undefined {
    const { uploads, others } = this.#outbox.sentUpTo;
    const rows = this.#slice.all(lane, lane === uploadLane ? uploads : others, rowsAStep);
    let bytes = 0;
    let messages = 0;
    for (const row of rows) {
      if (bytes >= wantedBytes) break;
      this.#outbox.drop(row.id);
      bytes += row.bytes;
      messages += 1;
    }
    return messages === 0 ? undefined : { bytes, messages };
  }
}

/** Reports of one device on their way into the last of them. */
interface Group {
  readonly last: number;
  readonly earlier: readonly number[];
  readonly report: FoldableReport;
  readonly twins: Map<string, unknown>;
  readonly bytes: number;
}

function addReport(group: Group | undefined, row: Row, report: FoldableReport): Group {
  const twins = group?.twins ?? new Map<string, unknown>();
  for (const [name, twin] of Object.entries(report.twins)) twins.set(name, twin);
  const earlier = group ? [...group.earlier, group.last] : [];
  return { last: row.id, earlier, report, twins, bytes: (group?.bytes ?? 0) + row.bytes };
}

/** The first row, and those after it that go with it into a step. */
function withinBytes(rows: readonly Row[]): readonly Row[] {
  let sum = 0;
  const over = rows.findIndex(({ bytes }, index) => {
    sum += bytes;
    return index > 0 && sum > bytesAStep;
  });
  return over < 0 ? rows : rows.slice(0, over);
}
