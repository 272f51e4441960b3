import type { Database, Statement } from "bun:sqlite";
import {
  explainDatabase,
  loadDatabase,
  openRevisionDatabase,
  ResourceIndex,
  saveSetting,
  settingOf,
  type LoadedDatabase,
  type Sealing,
} from "#cloud/kube-api/store/file";
import { onNextTurn } from "#shared/clock";
import { AppError, asError, BugError, ClosedError, UnavailableError } from "#shared/errors";
import { note } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { Compaction } from "./compaction.ts";
import { Followers, type Follower } from "./followers.ts";
import { History } from "./history.ts";
import type { RevisionChange, StoredKey, WriteRequest } from "./revision-change.ts";
import { LostStatuses } from "./lost-statuses.ts";
import { RevisionReader } from "./revision-reader.ts";
import { attachMemory, VolatileRows } from "./volatile-rows.ts";

export interface RevisionStoreOptions {
  /** A file, or ":memory:". */
  readonly path: string;
  /** Where the keys are that encrypt Secrets; without one nothing is encrypted. */
  readonly keyFile?: string | undefined;
  readonly log?: Logger;
  /** How many revisions stay followable. */
  readonly historyRevisions: number;
  /** Fewer do when they have more bytes than this in all; 256 MiB by default. */
  readonly historyBytes?: number;
  /** Called for failures that concern no caller: of a follower, a compaction, or of closing the file. */
  readonly onError: (error: unknown) => void;
}

interface Batch {
  readonly changes: RevisionChange[];
  /** Take back what is in the memory beside the index. */
  readonly undo: (() => void)[];
  readonly firstRevision: number;
  readonly done: PromiseWithResolvers<void>;
}

interface NewRow {
  readonly request: WriteRequest;
  readonly revision: number;
  readonly previous: number | undefined;
  readonly text: string;
}

/** Small objects reach the bound on revisions first; this one is for ConfigMaps and Secrets of a megabyte. */
const mostHistoryBytes = 256 * 1024 * 1024;
/** etcd's default --max-request-bytes. */
const mostBytes = 1.5 * 1024 * 1024;
/** Longest UTF-8 of a UTF-16 unit: shorter texts need not be measured. */
const mostBytesAUnit = 3;
/** More than the free space that SQLite finds in pages it has, so that the file has to grow. */
const trialBytes = 65_536;

/** See `index.ts` for the promises. */
export class RevisionStore implements AsyncDisposable {
  readonly #database: Database;
  readonly #options: RevisionStoreOptions;
  readonly #sealing: Sealing;
  readonly #history: History;
  readonly #indexes: Map<string, ResourceIndex>;
  readonly #followers: Followers;
  readonly #reader: RevisionReader;
  readonly #compaction: Compaction;
  readonly #volatile: VolatileRows;
  readonly #insert: Statement;
  #revision: number;
  #committed: number;
  #batch: Batch | undefined;
  /** Why the last commit failed; undefined when it did not. */
  #failure: string | undefined;
  #closed = false;
  readonly lostStatuses: LostStatuses;

  /** @throws ConfigError when the file cannot be used. */
  constructor(options: RevisionStoreOptions) {
    this.#options = options;
    this.#database = openRevisionDatabase(options.path);
    const { sealing, indexes, revision, compacted, isCut } = load(this.#database, options);
    this.lostStatuses = new LostStatuses(this.#database, isCut);
    attachMemory(this.#database);
    this.#volatile = new VolatileRows(this.#database);
    this.#sealing = sealing;
    this.#indexes = indexes;
    this.#revision = revision;
    this.#committed = revision;
    this.#followers = new Followers(options.onError);
    this.#reader = new RevisionReader(this.#database, sealing);
    const { historyRevisions: revisions, historyBytes: bytes = mostHistoryBytes } = options;
    this.#history = new History({ revisions, bytes });
    for (const [id, size] of this.#reader.sizesAfter(compacted)) this.#history.add(id, size);
    this.#compaction = new Compaction({
      database: this.#database,
      history: this.#history,
      compacted,
      newest: () => this.#committed,
      settled: () => this.settled(),
      isClosed: () => this.#closed,
    });
    this.#insert = this.#database.prepare(
      "INSERT INTO main.revisions (id, resource, key, previous, deleted, value) VALUES (?, ?, ?, ?, ?, ?)",
    );
  }

  /** The newest committed revision. */
  get revision(): number {
    return this.#committed;
  }

  /** Changes up to this revision can no longer be followed. */
  get compactedRevision(): number {
    return this.#compaction.compactedRevision;
  }

  /** The oldest revision that a resource can be listed at; a watch from before it gets the newest of each object, and no selection. */
  oldestOf(resource: string): number {
    return Math.max(this.compactedRevision, this.#volatile.forgottenTo(resource));
  }

  /** Resolves when every write made so far is committed: what is read afterwards is durable. */
  async settled(): Promise<void> {
    if (this.#batch) await this.#batch.done.promise.catch(() => undefined);
  }

  find(resource: string, key: string): number | undefined {
    return this.#indexes.get(resource)?.get(key);
  }

  /** JSON of one revision; undefined once compacted. */
  text(revision: number): string | undefined {
    return this.#reader.text(revision);
  }

  /**
   * JSON of the first revisions of a list, faster than one by one.
   * @returns at least one, as many as were read; undefined for those that are compacted
   */
  texts(revisions: Float64Array): (string | undefined)[] {
    return this.#reader.texts(revisions);
  }

  /** The current JSON of an object. */
  get(resource: string, key: string): string | undefined {
    const revision = this.find(resource, key);
    return revision === undefined ? undefined : this.text(revision);
  }

  count(resource: string): number {
    return this.#indexes.get(resource)?.size ?? 0;
  }

  /** Current objects whose key starts with `prefix` and comes after `after`, sorted by key. */
  list(resource: string, prefix = "", after = ""): StoredKey[] {
    const index = this.#indexes.get(resource);
    if (!index) return [];
    return index.keys(prefix, after).map((key) => ({ key, revision: index.get(key) ?? 0 }));
  }

  /** As `list`, as it was at a revision from `oldestOf` on. */
  listAt(revision: number, resource: string, prefix = "", after = ""): StoredKey[] {
    const current = this.list(resource, prefix, after);
    if (revision >= this.#committed) return current;
    return this.#reader.rewind(current, revision, { resource, prefix, after });
  }

  /** Revisions of the current objects whose key starts with `prefix`, in the order of `list`. */
  revisions(resource: string, prefix = ""): Float64Array {
    return this.#indexes.get(resource)?.revisions(prefix) ?? new Float64Array(0);
  }

  /** Changes of a resource after a revision, oldest first: `rows` at most, or until their texts have `size` characters. */
  since(
    resource: string,
    revision: number,
    most: { readonly rows: number; readonly size: number },
  ): RevisionChange[] {
    return this.#reader.changes(resource, { after: revision, newest: this.#committed }, most);
  }

  /**
   * Appends a revision; the caller has read the current one in the same turn.
   * The object and the index show it at once to other writers; the promise resolves with the commit.
   * @param along written after it in the same commit, unless the first one is refused
   * @throws UnavailableError when the commit failed, TooLargeError when the object is too large: nothing of it happened
   */
  async write(request: WriteRequest, along: readonly WriteRequest[] = []): Promise<RevisionChange> {
    if (this.#closed) throw new ClosedError("Cannot write: the store is closed");
    const batch = (this.#batch ??= this.#begin());
    const change = this.#append(request, batch);
    batch.changes.push(change);
    for (const one of along) batch.changes.push(this.#append(one, batch));
    await batch.done.promise;
    return change;
  }

  /** Why nothing can be stored now; undefined: it can. Finds out by a trial write, which it removes again. */
  async writeProblem(): Promise<string | undefined> {
    await this.settled();
    if (this.#closed) return "the store is closed";
    // Writes under way find out themselves.
    if (this.#batch) return this.#failure;
    try {
      // In two commits: what a commit both writes and removes may never reach the disk.
      this.#database.run("INSERT INTO trial VALUES (zeroblob(?))", [trialBytes]);
      this.#database.run("DELETE FROM trial");
      this.#failure = undefined;
    } catch (error) {
      this.#failure = asError(error).message;
    }
    return this.#failure;
  }

  /** Calls `follower` with committed changes of one resource, batch by batch, until disposed. */
  follow(resource: string, follower: Follower): Disposable {
    return this.#followers.add(resource, follower);
  }

  /** While held, what was current at this revision is not compacted away. */
  pin(revision = this.#committed): Disposable {
    return this.#history.pin(revision);
  }

  /** A value kept beside the objects, e.g. a signing key. */
  setting(name: string): string | undefined {
    const stored = settingOf(this.#database, name);
    return stored === undefined ? undefined : this.#sealing.openSetting(name, stored);
  }

  saveSetting(name: string, value: string): void {
    saveSetting(this.#database, name, this.#sealing.sealSetting(name, value));
  }

  /** Deletes revisions that were replaced before the history kept; joins a run under way. */
  async compact(): Promise<void> {
    await this.#compaction.run();
  }

  /** Stores what is in the memory alone. Call it every two minutes. @throws UnavailableError: it stays there then */
  async storeVolatile(): Promise<void> {
    await this.settled();
    if (this.#volatile.isEmpty || this.#batch || this.#closed) return;
    try {
      this.#volatile.store(this.#compaction.compactedRevision);
    } catch (error) {
      throw storeFailed(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await this.settled();
    await this.storeVolatile().catch(this.#options.onError);
    this.#closed = true;
    await this.#compaction.finished();
    try {
      if (this.#volatile.isEmpty) this.#volatile.close();
      this.#database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      // What is committed stays readable in the log of the database.
      this.#options.onError(error);
    } finally {
      this.#database.close();
    }
  }

  #begin(): Batch {
    try {
      this.#database.run("BEGIN IMMEDIATE");
    } catch (error) {
      throw storeFailed(error);
    }
    const batch = {
      changes: [],
      undo: [],
      firstRevision: this.#revision,
      done: Promise.withResolvers<void>(),
    };
    batch.done.promise.catch(() => undefined);
    // Not a delay: writes of this turn of the event loop join the transaction.
    onNextTurn(() => this.#commit(batch));
    return batch;
  }

  #append(request: WriteRequest, { undo }: Batch): RevisionChange {
    const { resource, key, object } = request;
    const index = indexOf(this.#indexes, resource);
    const previous = index.get(key);
    const remove = request.remove === true;
    if (remove && previous === undefined)
      throw new BugError(`Cannot remove "${key}" of ${resource}: it is not there`);
    const revision = this.#revision + 1;
    object.metadata.resourceVersion = String(revision);
    const text = JSON.stringify(object);
    if (!remove && request.anySize !== true)
      checkSize(text, () => (previous === undefined ? "" : (this.text(previous) ?? "")));
    // A full disk may have ended the transaction: outside of one the row would outlive a failed batch.
    if (!this.#database.inTransaction) throw storeFailed(new Error("an earlier write of this commit failed"));
    this.#put({ request, revision, previous, text }, undo);
    this.#revision = revision;
    if (remove) index.delete(key);
    else index.set(key, revision);
    const type = remove ? "DELETED" : previous === undefined ? "ADDED" : "MODIFIED";
    return { revision, type, resource, key, text, previous };
  }

  #put(row: NewRow, undo: (() => void)[]): void {
    const { request, revision, previous, text } = row;
    const { resource, key, remove = false, isVolatile = false } = request;
    try {
      const value = this.#sealing.seal({ id: revision, resource, key }, text);
      if (isVolatile && previous !== undefined && !remove) {
        undo.push(this.#volatile.put({ resource, key, revision }, previous, value));
        return;
      }
      const stored = this.#volatile.storedOf(resource, key, previous) ?? null;
      this.#insert.run(revision, resource, key, stored, remove ? 1 : 0, value);
      if (stored !== (previous ?? null)) undo.push(this.#volatile.superseded({ resource, key, revision }));
    } catch (error) {
      throw storeFailed(error);
    }
  }

  #commit(batch: Batch): void {
    this.#batch = undefined;
    note("a commit to the database of the API");
    try {
      this.#database.run("COMMIT");
    } catch (error) {
      this.#failure = asError(error).message;
      this.#undo(batch);
      batch.done.reject(storeFailed(error));
      return;
    }
    this.#failure = undefined;
    this.#committed = this.#revision;
    for (const { revision, text } of batch.changes) this.#history.add(revision, Buffer.byteLength(text));
    if (this.#history.isTooLarge) this.compact().catch(this.#options.onError);
    note("watches of", batch.changes[0]?.resource);
    this.#followers.notify(batch.changes);
    // After followers looked at what was replaced; one of them may have begun the next commit, which tidies then.
    if (!this.#batch) this.#volatile.tidy(this.#history.isPinned);
    batch.done.resolve();
  }

  #undo(batch: Batch): void {
    if (this.#database.inTransaction) this.#database.run("ROLLBACK");
    for (const restore of batch.undo.toReversed()) restore();
    for (const { resource, key, previous } of batch.changes.toReversed()) {
      const index = indexOf(this.#indexes, resource);
      if (previous === undefined) index.delete(key);
      else index.set(key, previous);
    }
    this.#revision = batch.firstRevision;
  }
}

/** An object that is larger than what is stored. */
export class TooLargeError extends AppError {
  readonly limitBytes: number;

  constructor(bytes: number, limitBytes: number) {
    super("object-too-large", `The object takes ${bytes} bytes, limit is ${limitBytes}`);
    this.limitBytes = limitBytes;
  }
}

function indexOf(indexes: Map<string, ResourceIndex>, resource: string): ResourceIndex {
  let index = indexes.get(resource);
  if (!index) indexes.set(resource, (index = new ResourceIndex()));
  return index;
}

/** What was stored before there was a limit may stay and shrink. @throws TooLargeError */
function checkSize(text: string, before: () => string): void {
  if (text.length * mostBytesAUnit <= mostBytes) return;
  const bytes = Buffer.byteLength(text);
  if (bytes > mostBytes && bytes > Buffer.byteLength(before())) throw new TooLargeError(bytes, mostBytes);
}

/** A database that cannot be read to its end is closed again. */
function load(database: Database, options: RevisionStoreOptions): LoadedDatabase {
  try {
    return loadDatabase(database, options);
  } catch (error) {
    database.close();
    throw explainDatabase(options.path, error);
  }
}

function storeFailed(error: unknown): UnavailableError {
  return new UnavailableError("store-failed", `Cannot store: ${asError(error).message}`, { cause: error });
}
