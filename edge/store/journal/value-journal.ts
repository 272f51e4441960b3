import type { Database } from "bun:sqlite";
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { decodeBatches, encodeBatch, type Batch, type ValueRecord } from "./records.ts";
import { SectorFile, sectorBytes } from "./sector-file.ts";

interface JournalRow {
  readonly salt: number;
  readonly generation: number;
}

interface Tail {
  readonly path: string;
  file: number | undefined;
  bytes: number;
}

/** Records that a start has to read again, and that are stored in one transaction. */
const mostBytes = 4 * 1024 * 1024;
/** Records of one batch: it is encoded at once. */
const recordsABatch = 2000;

/**
 * Values that are not in the database yet. `append` writes them into the cache of the system: they survive the end of this
 * process. `sync` puts all of them on disk, which they need to survive a loss of power; it writes a sector or a few, where a commit
 * of the database writes several blocks. When their owner stores them in the database, `store` in the same transaction makes
 * the journal begin again.
 *
 * Three files beside the database: `-values`, past the cache of the system and on disk after each `sync`; and two with what came
 * since the last one, which the system writes to the disk when it likes. They take turns: one takes what comes while the records of the other
 * are being written.
 */
export class ValueJournal implements Disposable {
  readonly #db: Database;
  readonly #path: string;
  readonly #tails: readonly [Tail, Tail];
  #salt = 0;
  #generation = 0;
  #file: SectorFile | undefined;
  #bytes = 0;
  #sequence = 0;
  #current = 0;
  #unsynced: ValueRecord[] = [];
  #records = 0;
  #syncing: Promise<void> | undefined;
  #isClosed = false;

  constructor(db: Database, path: string) {
    this.#db = db;
    this.#path = `${path}-values`;
    this.#tails = [
      { path: `${path}-values-a`, file: undefined, bytes: 0 },
      { path: `${path}-values-b`, file: undefined, bytes: 0 },
    ];
    const row = db.query<JournalRow, []>("SELECT salt, generation FROM device_journal").get();
    this.#generation = row?.generation ?? 0;
    this.#salt = row?.salt ?? 0;
  }

  /**
   * Records that are in none of the database's tables, oldest first: of a process that was killed, or lost its power. Call it
   * before `append`, which continues behind them.
   */
  read(): ValueRecord[] {
    if (this.#generation === 0) return [];
    const mark = { salt: this.#salt, generation: this.#generation };
    const stored = [...decodeBatches(contentOf(this.#path), mark, sectorBytes)];
    const written = stored.at(-1)?.sequence ?? 0;
    const rest = this.#tails.flatMap((tail) => {
      const batches = [...decodeBatches(contentOf(tail.path), mark, 1)];
      tail.bytes = batches.at(-1)?.end ?? 0;
      return batches.flatMap((batch) => recordsAfter(written, batch));
    });
    rest.sort((a, b) => a.sequence - b.sequence);
    this.#bytes = stored.at(-1)?.end ?? 0;
    this.#sequence = rest.at(-1)?.sequence ?? written;
    this.#unsynced = rest.flatMap(({ records }) => records);
    const records = [...stored.flatMap((batch) => batch.records), ...this.#unsynced];
    this.#records = records.length;
    return records;
  }

  /** Whether records are in the journal alone. */
  get isEmpty(): boolean {
    return this.#records === 0;
  }

  get isFull(): boolean {
    return this.#bytes >= mostBytes;
  }

  /** Whether records are not on disk. */
  get isUnsynced(): boolean {
    return this.#unsynced.length > 0;
  }

  /**
   * The records survive the end of this process when it returns.
   * @returns takes them out again, as long as nothing else was called
   * @throws when they cannot be written
   */
  append(records: readonly ValueRecord[]): () => void {
    this.#begin();
    const sequence = this.#sequence + records.length;
    const tail = this.#tails[this.#current === 0 ? 0 : 1];
    const bytes = this.#encode({ sequence, records }, false);
    tail.file ??= openSync(tail.path, existsSync(tail.path) ? "r+" : "wx+", 0o600);
    if (writeSync(tail.file, bytes, 0, bytes.length, tail.bytes) !== bytes.length)
      throw new Error("the disk took a part of a write only");
    tail.bytes += bytes.length;
    this.#sequence = sequence;
    for (const record of records) this.#unsynced.push(record);
    this.#records += records.length;
    return () => this.#takeBack(tail, { records: records.length, bytes: bytes.length });
  }

  #takeBack(tail: Tail, added: { readonly records: number; readonly bytes: number }): void {
    tail.bytes -= added.bytes;
    this.#sequence -= added.records;
    this.#unsynced.length -= added.records;
    this.#records -= added.records;
    // What is behind the end is of no use; a full disk takes this as well.
    if (tail.file !== undefined) ftruncateSync(tail.file, tail.bytes);
  }

  /** Resolves when all records of before are on disk. @throws when they cannot be written; they are written with the next call */
  async sync(): Promise<void> {
    while (this.#syncing) await this.#syncing;
    if (this.#unsynced.length === 0 || this.#isClosed) return;
    this.#syncing = this.#writeOut().finally(() => (this.#syncing = undefined));
    await this.#syncing;
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await this.#syncing?.catch(() => undefined);
  }

  /**
   * Call it in the transaction that stores all records.
   * @returns what to call when it is committed: the journal begins again
   */
  store(): () => void {
    // It has not begun at all.
    if (this.#generation === 0) return () => undefined;
    const generation = this.#generation + 1;
    this.#db.run("UPDATE device_journal SET generation = ?", [generation]);
    return () => {
      this.#generation = generation;
      this.#restart();
    };
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#file?.[Symbol.dispose]();
    for (const tail of this.#tails) if (tail.file !== undefined) closeSync(tail.file);
  }

  #begin(): void {
    if (this.#generation > 0) return;
    this.#salt = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
    this.#db.run("INSERT OR REPLACE INTO device_journal (id, salt, generation) VALUES (1, ?, 1)", [
      this.#salt,
    ]);
    this.#generation = 1;
  }

  async #writeOut(): Promise<void> {
    const [records, sequence] = [this.#unsynced, this.#sequence];
    const before = this.#current;
    this.#unsynced = [];
    this.#current = 1 - before;
    const first = sequence - records.length;
    const generation = this.#generation;
    let done = 0;
    try {
      this.#file ??= new SectorFile(this.#path);
      while (done < records.length) {
        const some = records.slice(done, done + recordsABatch);
        const bytes = this.#encode({ sequence: first + done + some.length, records: some }, true);
        const written = await this.#file.write(bytes, this.#bytes);
        // They are in the database meanwhile.
        if (this.#generation !== generation) return;
        this.#bytes += written;
        done += some.length;
      }
      this.#tailOf(before).bytes = 0;
    } catch (error) {
      if (this.#generation !== generation) return;
      // Those in the tail stay there: what comes goes behind them. Those in the file are not written again: their sequence has passed.
      this.#unsynced = [...records.slice(done), ...this.#unsynced];
      throw error;
    }
  }

  #tailOf(index: number): Tail {
    return this.#tails[index === 0 ? 0 : 1];
  }

  #restart(): void {
    this.#bytes = 0;
    this.#sequence = 0;
    this.#records = 0;
    this.#unsynced = [];
    for (const tail of this.#tails) tail.bytes = 0;
  }

  #encode(batch: Batch, compress: boolean): Buffer {
    return encodeBatch({ salt: this.#salt, generation: this.#generation }, batch, { compress });
  }
}

/** The records of a batch that are not among the first ones, so many, of all; none or one batch. */
function recordsAfter(written: number, { sequence, records }: Batch): Batch[] {
  const left = Math.min(sequence - written, records.length);
  return left > 0 ? [{ sequence, records: records.slice(-left) }] : [];
}

function contentOf(path: string): Buffer {
  return existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
}
