import type { Database } from "bun:sqlite";
import { nextTurn, onNextTurn, type Clock } from "#shared/clock";
import { asError, ClosedError, UnavailableError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { openExpendableDatabase } from "#shared/sqlite";
import { uploadFormat } from "./format.ts";
import { Shares, type Share } from "./shares.ts";
import { SteadyTime } from "./steady-time.ts";
import { planTrim } from "./trim-plan.ts";
import { prepareUploads, type UploadStatements } from "./upload-statements.ts";

export interface NewUpload {
  readonly node: string;
  /** The node's id of the message: a repetition has the same. */
  readonly messageId: string;
  readonly topic: string;
  /** milliseconds */
  readonly sentAt: number;
  readonly receivedAt: number;
  readonly content: string;
}

export interface Upload {
  /** Grows in order of arrival; gaps are of uploads that were dropped. */
  readonly id: number;
  readonly node: string;
  readonly topic: string;
  readonly sentAt: number;
  readonly receivedAt: number;
  readonly content: string;
}

export interface PageQuery {
  readonly node?: string | undefined;
  readonly topic?: string | undefined;
  /** only uploads with a greater id */
  readonly after: number;
  readonly limit: number;
}

export interface UploadBounds {
  readonly limitBytes: number;
  readonly maxAgeMs: number;
}

export interface UploadStoreOptions {
  /** A file. */
  readonly path: string;
  readonly bounds: UploadBounds;
  readonly clock: Pick<Clock, "nowMs" | "monotonicMs">;
  readonly log: Logger;
  /** Called after uploads were dropped to keep the bounds, once for each run. */
  readonly onDropped: (count: number) => void;
  /** Called when dropping old uploads fails, which concerns no caller. */
  readonly onError: (error: unknown) => void;
}

interface Batch {
  readonly uploads: NewUpload[];
  readonly done: PromiseWithResolvers<void>;
}

type Filter = [string | null, string | null, number, number];

/** Uploads dropped in one commit, which takes some milliseconds. */
const trimStep = 500;
/** Content of one page: it is put together in memory. */
const mostPageBytes = 8 * 1024 * 1024;

/**
 * What devices send to the cloud, in order of arrival, bounded by disk and age.
 *
 * 1. What was added is on disk when `add` resolves; all added within one turn of the event loop shares a commit.
 * 2. A message a node sends twice is there once, as long as it was not dropped.
 * 3. Only the oldest are dropped, in small steps that do not block the event loop: those that are too old, and for room the
 *    oldest of the node that has most. A node that floods drops its own.
 */
export class UploadStore implements AsyncDisposable {
  readonly #database: Database;
  readonly #options: UploadStoreOptions;
  readonly #uploads: UploadStatements;
  readonly #shares: Shares;
  readonly #time: SteadyTime;
  /** how many there are */
  #count: number;
  #batch: Batch | undefined;
  #trimming: Promise<void> | undefined;
  #closed = false;

  /** @throws ConfigError when the file cannot be used */
  constructor(options: UploadStoreOptions) {
    this.#options = options;
    this.#database = openExpendableDatabase(options.path, {
      format: uploadFormat,
      nowMs: options.clock.nowMs(),
      log: options.log,
    });
    this.#uploads = prepareUploads(this.#database);
    const found = this.#uploads.shares.all();
    this.#shares = new Shares(found);
    this.#time = new SteadyTime(options.clock, this.#uploads.newest.get()?.atMs);
    this.#count = found.reduce((sum, { count }) => sum + count, 0);
  }

  /** How many were ever dropped: each had an id. */
  get dropped(): number {
    return (this.#uploads.last.get()?.last ?? 0) - this.#count;
  }

  /** @throws UnavailableError when the commit failed: nothing of it happened */
  async add(upload: NewUpload): Promise<void> {
    if (this.#closed) throw new ClosedError("Cannot store an upload: the store is closed");
    const batch = (this.#batch ??= this.#begin());
    batch.uploads.push(upload);
    await batch.done.promise;
  }

  /** Up to `limit` uploads, oldest first, fewer when they are large. */
  page({ node, topic, after, limit }: PageQuery): Upload[] {
    const wanted = [
      ...(node === undefined ? [] : ["node = ?1"]),
      ...(topic === undefined ? [] : ["topic = ?2"]),
      "id > ?3",
    ];
    const rows = this.#database
      .query<Upload, Filter>(
        `SELECT id, node, topic, sent_at AS sentAt, received_at AS receivedAt, content FROM upload
         WHERE ${wanted.join(" AND ")} ORDER BY id LIMIT ?4`,
      )
      .iterate(node ?? null, topic ?? null, after, limit);
    const page: Upload[] = [];
    let bytes = 0;
    for (const upload of rows) {
      page.push(upload);
      bytes += upload.content.length;
      if (bytes >= mostPageBytes) break;
    }
    return page;
  }

  /** Whether that much could be written now, by writing it and removing it again. */
  hasRoom(bytes: number): boolean {
    try {
      // In two commits: what a commit both writes and removes may never reach the disk.
      this.#database.run("INSERT INTO trial VALUES (zeroblob(?))", [bytes]);
      this.#database.run("DELETE FROM trial");
      return true;
    } catch {
      return false;
    }
  }

  /** Drops what is too old or too much, step by step; joins a run that is under way. */
  async trim(): Promise<void> {
    this.#trimming ??= this.#trimAll().finally(() => (this.#trimming = undefined));
    await this.#trimming;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await this.#batch?.done.promise.catch(() => undefined);
    this.#closed = true;
    await this.#trimming;
    this.#database.close();
  }

  #begin(): Batch {
    const batch = { uploads: [], done: Promise.withResolvers<void>() };
    batch.done.promise.catch(() => undefined);
    onNextTurn(() => this.#commit(batch));
    return batch;
  }

  #commit(batch: Batch): void {
    this.#batch = undefined;
    let written: Share[];
    try {
      written = this.#database.transaction(() => batch.uploads.flatMap((upload) => this.#write(upload)))();
    } catch (error) {
      const text = `Cannot store uploads: ${asError(error).message}`;
      batch.done.reject(new UnavailableError("store-failed", text, { cause: error }));
      return;
    }
    this.#count += written.length;
    for (const share of written) this.#shares.add(share);
    batch.done.resolve();
    if (this.#usedBytes() > this.#options.bounds.limitBytes) void this.trim();
  }

  /** @returns nothing when it was there already */
  #write({ node, messageId, topic, sentAt, receivedAt, content }: NewUpload): Share[] {
    const bytes = sizeOf(content) + sizeOf(topic) + sizeOf(node) + sizeOf(messageId);
    const { changes } = this.#uploads.insert.run(node, messageId, topic, sentAt, receivedAt, bytes, content);
    return changes > 0 ? [{ node, bytes }] : [];
  }

  #usedBytes(): number {
    return this.#uploads.used.get()?.bytes ?? 0;
  }

  async #trimAll(): Promise<void> {
    const { limitBytes } = this.#options.bounds;
    let dropped = 0;
    try {
      // A little more than needed, or the next upload would be too much again.
      let target = this.#usedBytes() > limitBytes ? limitBytes - limitBytes / 32 : limitBytes;
      while (!this.#closed) {
        const gone = this.#dropOld() ?? this.#dropFor(this.#usedBytes() - target);
        if (!gone) break;
        this.#count -= gone.length;
        for (const { node, bytes } of gone) this.#shares.add({ node, bytes: -bytes });
        dropped += gone.length;
        await nextTurn();
      }
    } catch (error) {
      this.#options.onError(error);
    }
    if (dropped > 0) this.#options.onDropped(dropped);
  }

  #dropOld(): Share[] | undefined {
    const nowMs = this.#time.nowMs();
    const excess = { bytes: 0, beforeMs: nowMs - this.#options.bounds.maxAgeMs };
    // What a clock that was ahead dated is as old as what came after it.
    const upTo =
      planTrim(this.#uploads.oldest.all(trimStep), excess) ??
      planTrim(this.#uploads.oldestDated.all(nowMs, trimStep), excess);
    return upTo === undefined ? undefined : this.#uploads.drop.all(upTo);
  }

  /** From the node that has most, until it has no more than the next one. */
  #dropFor(excess: number): Share[] | undefined {
    const largest = excess > 0 ? this.#shares.largest() : undefined;
    if (!largest) return undefined;
    const { node, ahead } = largest;
    // At least so much that nodes with equal shares do not take turns upload by upload.
    const bytes = Math.min(excess, Math.max(ahead, this.#options.bounds.limitBytes / 256));
    const upTo = planTrim(this.#uploads.oldestOf.all(node, trimStep), { bytes, beforeMs: -Infinity });
    return upTo === undefined ? undefined : this.#uploads.dropOf.all(node, upTo);
  }
}

function sizeOf(text: string): number {
  return Buffer.byteLength(text);
}
