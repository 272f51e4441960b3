import type { Database, Statement } from "bun:sqlite";
import { AppError, asError, BugError, ClosedError, UnavailableError } from "#shared/errors";
import type { KubeObject } from "#shared/kube";
import { note } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import {
  byText,
  explainDatabase,
  loadDatabase,
  openRevisionDatabase,
  ResourceIndex,
  saveSetting,
  settingOf,
  type Loaded,
  type RowPlace,
  type Sealing,
} from "#cloud/kube-api/store/file";
import { History } from "./history.ts";

export type ChangeType = "ADDED" | "MODIFIED" | "DELETED";

/** One revision of one object. `text` is its JSON, resourceVersion included. */
export interface Change {
  readonly revision: number;
  readonly type: ChangeType;
  readonly resource: string;
  readonly key: string;
  readonly text: string;
  /** The revision this one replaced. */
  readonly previous: number | undefined;
}

export interface Stored {
  readonly key: string;
  readonly revision: number;
}

export interface WriteRequest {
  /** `<group>/<plural>`, e.g. "apps/deployments" or "/pods" */
  readonly resource: string;
  /** `<namespace>/<name>`; the namespace is empty for cluster-scoped objects */
  readonly key: string;
  /** Receives its resourceVersion; must not be changed afterwards. */
  readonly object: KubeObject;
  /** The object goes away; `object` is its last state. */
  readonly remove?: boolean;
  /** Not refused for its size: a deletion must not fail because the object is too large already. */
  readonly anySize?: boolean;
}

export interface StoreOptions {
  /** A file, or ":memory:". */
  readonly path: string;
  /** Where the keys are that encrypt Secrets; without one nothing is encrypted. */
  readonly keyFile?: string | undefined;
  readonly log?: Logger;
  /** How many revisions stay followable. */
  readonly historyRevisions: number;
  /** Fewer do when they have more bytes than this in all; 256 MiB unless told. */
  readonly historyBytes?: number;
  /** Told of a failure that concerns no caller: of a follower, or of tidying up when closing. */
  readonly onError: (error: unknown) => void;
}

interface Row {
  id: number;
  resource: string;
  key: string;
  previous: number | null;
  deleted: number;
  value: string;
}

interface Batch {
  readonly changes: Change[];
  readonly firstRevision: number;
  readonly done: PromiseWithResolvers<void>;
}

type Follower = (changes: readonly Change[]) => void;

const mostHistoryBytes = 256 * 1024 * 1024;
/** What etcd takes by default. */
const mostBytes = 1.5 * 1024 * 1024;
const trialBytes = 65_536;

/** See `index.ts` for the promises. */
export class RevisionStore implements AsyncDisposable {
  readonly #database: Database;
  readonly #options: StoreOptions;
  readonly #sealing: Sealing;
  readonly #history: History;
  readonly #indexes: Map<string, ResourceIndex>;
  readonly #followers = new Map<string, Set<Follower>>();
  readonly #insert: Statement;
  readonly #row: Statement<RowPlace & { value: string }, [number]>;
  readonly #after: Statement<Row, [number, string, number]>;
  #revision: number;
  #committed: number;
  #compacted: number;
  #batch: Batch | undefined;
  /** Why the last commit failed; undefined when it did not. */
  #failure: string | undefined;
  #compaction: Promise<void> | undefined;
  #closed = false;

  /** @throws ConfigError when the file cannot be used. */
  constructor(options: StoreOptions) {
    this.#options = options;
    this.#database = openRevisionDatabase(options.path);
    const loaded = load(this.#database, options);
    this.#sealing = loaded.sealing;
    this.#indexes = loaded.indexes;
    this.#revision = loaded.revision;
    this.#committed = loaded.revision;
    this.#compacted = loaded.compacted;
    const { historyRevisions: revisions, historyBytes: bytes = mostHistoryBytes } = options;
    this.#history = new History({ revisions, bytes });
    for (const [id, size] of sizesAfter(this.#database, loaded.compacted)) this.#history.add(id, size);
    this.#insert = this.#database.prepare(
      "INSERT INTO revisions (id, resource, key, previous, deleted, value) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#row = this.#database.prepare("SELECT id, resource, key, value FROM revisions WHERE id = ?");
    this.#after = this.#database.prepare(
      "SELECT * FROM revisions WHERE id > ? AND resource = ? ORDER BY id LIMIT ?",
    );
  }

  /** The newest committed revision. */
  get revision(): number {
    return this.#committed;
  }

  /** Changes up to this revision can no longer be followed. */
  get compactedRevision(): number {
    return this.#compacted;
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
    const row = this.#row.get(revision);
    return row ? this.#sealing.open(row, row.value) : undefined;
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
  list(resource: string, prefix = "", after = ""): Stored[] {
    const index = this.#indexes.get(resource);
    if (!index) return [];
    return index.keys(prefix, after).map((key) => ({ key, revision: index.get(key) ?? 0 }));
  }

  /** As `list`, as it was at a revision not yet compacted. */
  listAt(revision: number, resource: string, prefix = "", after = ""): Stored[] {
    const now = this.list(resource, prefix, after);
    if (revision >= this.#committed) return now;
    const then = new Map(now.map((stored) => [stored.key, stored.revision]));
    const rows = this.#database
      .query<{ key: string; previous: number | null }, [number, string]>(
        "SELECT key, previous FROM revisions WHERE id > ? AND resource = ? ORDER BY id DESC",
      )
      .all(revision, resource);
    for (const row of rows) {
      if (!row.key.startsWith(prefix) || row.key <= after) continue;
      if (row.previous === null) then.delete(row.key);
      else then.set(row.key, row.previous);
    }
    return [...then].map(([key, at]) => ({ key, revision: at })).sort((a, b) => byText(a.key, b.key));
  }

  /** Revisions of the current objects whose key starts with `prefix`, in the order of `list`. */
  revisions(resource: string, prefix = ""): Float64Array {
    const index = this.#indexes.get(resource);
    if (!index) return new Float64Array(0);
    const keys = index.keys(prefix);
    const revisions = new Float64Array(keys.length);
    for (const [at, key] of keys.entries()) revisions[at] = index.get(key) ?? 0;
    return revisions;
  }

  /** Changes of a resource after a revision, oldest first: so many, or as many as it takes for texts of that size. */
  since(
    resource: string,
    revision: number,
    most: { readonly rows: number; readonly size: number },
  ): Change[] {
    const changes: Change[] = [];
    let size = 0;
    for (const row of this.#after.iterate(revision, resource, most.rows)) {
      // What is not committed yet comes last.
      if (row.id > this.#committed) break;
      const value = this.#sealing.open(row, row.value);
      changes.push(toChange({ ...row, value }));
      size += value.length;
      if (size >= most.size) break;
    }
    return changes;
  }

  /**
   * Appends a revision; the caller has just looked at the current one in the same turn.
   * The object and the index show it at once to other writers; the promise resolves with the commit.
   * @throws UnavailableError when the commit failed, TooLargeError when the object is too large: nothing of it happened
   */
  async write(request: WriteRequest): Promise<Change> {
    if (this.#closed) throw new ClosedError("Cannot write: the store is closed");
    const batch = (this.#batch ??= this.#begin());
    const change = this.#append(request);
    batch.changes.push(change);
    await batch.done.promise;
    return change;
  }

  /** Why nothing can be stored now; undefined: it can. What it writes to find out it takes away again. */
  async writeProblem(): Promise<string | undefined> {
    await this.settled();
    if (this.#closed) return "the store is closed";
    // Writes under way will tell.
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

  /** Hears committed changes of one resource, batch by batch. */
  follow(resource: string, hear: Follower): Disposable {
    const followers = this.#followers.get(resource) ?? new Set();
    this.#followers.set(resource, followers.add(hear));
    return { [Symbol.dispose]: () => void followers.delete(hear) };
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

  /** Forgets revisions that were replaced before the history kept; joins a run under way. */
  async compact(): Promise<void> {
    this.#compaction ??= this.#compactAll().finally(() => (this.#compaction = undefined));
    await this.#compaction;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await this.settled();
    this.#closed = true;
    await this.#compaction;
    try {
      this.#database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      // What is committed stays readable in the log of the database.
      this.#options.onError(error);
    } finally {
      this.#database.close();
    }
  }

  #index(resource: string): ResourceIndex {
    let index = this.#indexes.get(resource);
    if (!index) this.#indexes.set(resource, (index = new ResourceIndex()));
    return index;
  }

  #begin(): Batch {
    try {
      this.#database.run("BEGIN IMMEDIATE");
    } catch (error) {
      throw storeFailed(error);
    }
    const batch = { changes: [], firstRevision: this.#revision, done: Promise.withResolvers<void>() };
    batch.done.promise.catch(() => undefined);
    setImmediate(() => this.#commit(batch));
    return batch;
  }

  #append(request: WriteRequest): Change {
    const { resource, key, object } = request;
    const index = this.#index(resource);
    const previous = index.get(key);
    const remove = request.remove === true;
    if (remove && previous === undefined)
      throw new BugError(`Cannot remove "${key}" of ${resource}: it is not there`);
    const revision = this.#revision + 1;
    object.metadata.resourceVersion = String(revision);
    const text = JSON.stringify(object);
    if (!remove && request.anySize !== true) this.#checkSize(text, previous);
    // A full disk may have ended the transaction: outside of one the row would outlive a failed batch.
    if (!this.#database.inTransaction) throw storeFailed(new Error("an earlier write of this commit failed"));
    try {
      const stored = this.#sealing.seal({ id: revision, resource, key }, text);
      this.#insert.run(revision, resource, key, previous ?? null, remove ? 1 : 0, stored);
    } catch (error) {
      throw storeFailed(error);
    }
    this.#revision = revision;
    if (remove) index.delete(key);
    else index.set(key, revision);
    const type = remove ? "DELETED" : previous === undefined ? "ADDED" : "MODIFIED";
    return { revision, type, resource, key, text, previous };
  }

  /** What was stored before there was a limit may stay and shrink. */
  #checkSize(text: string, previous: number | undefined): void {
    if (text.length * 3 <= mostBytes) return;
    const bytes = Buffer.byteLength(text);
    if (bytes <= mostBytes) return;
    const before = previous === undefined ? 0 : Buffer.byteLength(this.text(previous) ?? "");
    if (bytes > before) throw new TooLargeError(bytes, mostBytes);
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
    this.#tell(batch.changes);
    batch.done.resolve();
  }

  #undo(batch: Batch): void {
    if (this.#database.inTransaction) this.#database.run("ROLLBACK");
    for (const change of batch.changes.toReversed()) {
      const index = this.#index(change.resource);
      if (change.previous === undefined) index.delete(change.key);
      else index.set(change.key, change.previous);
    }
    this.#revision = batch.firstRevision;
  }

  #tell(changes: readonly Change[]): void {
    for (const [resource, ofResource] of Map.groupBy(changes, (change) => change.resource)) {
      for (const follower of this.#followers.get(resource) ?? []) {
        try {
          follower(ofResource);
        } catch (error) {
          this.#options.onError(error);
        }
      }
    }
  }

  async #compactAll(): Promise<void> {
    const end = this.#history.endOf(this.#committed);
    while (this.#compacted < end && !this.#closed) {
      await this.settled();
      // Somebody may have begun to read meanwhile.
      const next = Math.min(this.#history.stepTo(end), this.#history.endOf(this.#committed));
      if (next <= this.#compacted || this.#closed) return;
      this.#compactTo(next);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** A revision is needed until the one that replaced it leaves the history; a deletion until it does itself. */
  #compactTo(end: number): void {
    note("a compaction of the database of the API");
    const from = this.#compacted;
    this.#database.transaction(() => {
      this.#database.run(
        `DELETE FROM revisions WHERE id IN
         (SELECT previous FROM revisions WHERE id > ? AND id <= ? AND previous IS NOT NULL)`,
        [from, end],
      );
      this.#database.run("DELETE FROM revisions WHERE id > ? AND id <= ? AND deleted = 1", [from, end]);
      this.saveSetting("compacted", String(end));
    })();
    this.#compacted = end;
    this.#history.compacted(end);
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

/** A database that cannot be read to its end is closed again. */
function load(database: Database, options: StoreOptions): Loaded {
  try {
    return loadDatabase(database, options);
  } catch (error) {
    database.close();
    throw explainDatabase(options.path, error);
  }
}

function sizesAfter(database: Database, revision: number): [id: number, bytes: number][] {
  const sizes = database.query<{ id: number; bytes: number }, [number]>(
    "SELECT id, octet_length(value) AS bytes FROM revisions WHERE id > ? ORDER BY id",
  );
  return sizes.all(revision).map(({ id, bytes }) => [id, bytes]);
}

function storeFailed(error: unknown): UnavailableError {
  return new UnavailableError("store-failed", `Cannot store: ${asError(error).message}`, { cause: error });
}

function toChange(row: Row): Change {
  const previous = row.previous ?? undefined;
  const type = row.deleted === 1 ? "DELETED" : previous === undefined ? "ADDED" : "MODIFIED";
  return { revision: row.id, type, resource: row.resource, key: row.key, text: row.value, previous };
}
