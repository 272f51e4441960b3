import {
  ignoreMissing,
  isKubeError,
  resources,
  type KubeClient,
  type ObjectAt,
  type ResourceType,
} from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { syncNameOf, syncOf, type ObjectSync, type Records, type SyncRecord } from "./records.ts";

export interface SyncWriterOptions {
  readonly kube: KubeClient;
  readonly records: Records;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Enough for many nodes that connect at once, and few enough for the API to serve others. */
const writesAtOnce = 16;
/** For the writes that wait at shutdown; what is not written then is compared again after the start. */
const drainMs = 3000;

/**
 * Writes the records to the API, behind them: changes of one record that arrive while it waits are one write, writes of one
 * record never overtake each other, and one that fails is retried with backoff until it is done.
 */
export class SyncWriter implements AsyncDisposable {
  readonly #options: SyncWriterOptions;
  /** Records to be written, oldest first. A removed record stays here until the API has forgotten it. */
  readonly #dirty = new Map<string, SyncRecord>();
  readonly #busy = new Set<string>();
  readonly #abort = new AbortController();
  readonly #workers = new Set<Promise<void>>();
  readonly #storing = new Map<string, PromiseWithResolvers<void>>();

  constructor(options: SyncWriterOptions) {
    this.#options = options;
  }

  submit(record: SyncRecord): void {
    if (this.#abort.signal.aborted) return;
    this.#dirty.set(syncNameOf(record), record);
    if (this.#workers.size >= writesAtOnce) return;
    const worker = this.#work().finally(() => this.#workers.delete(worker));
    this.#workers.add(worker);
  }

  /** Resolves when the API has the sync, or will never take it. */
  store(record: SyncRecord): Promise<void> {
    const key = syncNameOf(record);
    const storing = this.#storing.get(key) ?? Promise.withResolvers<void>();
    this.#storing.set(key, storing);
    this.submit(record);
    return storing.promise;
  }

  /** What is written when called is finished, what waits is written in the time the API needs, or dropped after 3 s. */
  async [Symbol.asyncDispose](): Promise<void> {
    using _limit = this.#options.clock.after(drainMs, () => this.#abort.abort());
    while (this.#workers.size > 0) await Promise.all(this.#workers);
    this.#abort.abort();
    for (const key of this.#storing.keys()) this.#isStored(key);
  }

  async #work(): Promise<void> {
    const { clock, log } = this.#options;
    const waits = backoff({ firstMs: 200, capMs: 15_000, random: () => clock.random() });
    await Promise.resolve();
    for (let next = this.#take(); next && !this.#abort.signal.aborted; next = this.#take()) {
      const [key, record] = next;
      try {
        await this.#write(record);
        this.#busy.delete(key);
      } catch (error) {
        this.#busy.delete(key);
        if (this.#abort.signal.aborted) return;
        if (!this.#dirty.has(key)) this.#dirty.set(key, record);
        log.warn("cannot record what a node has, retrying", { sync: key, error: describeError(error) });
        await this.#pause(waits.next().value);
      }
    }
  }

  #take(): [string, SyncRecord] | undefined {
    for (const [key, record] of this.#dirty) {
      if (this.#busy.has(key)) continue;
      this.#dirty.delete(key);
      this.#busy.add(key);
      return [key, record];
    }
    return undefined;
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#abort;
    await this.#options.clock.sleep(ms, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  async #write(record: SyncRecord): Promise<void> {
    const current = this.#options.records.get(record.node, record.object.uid);
    const key = syncNameOf(record);
    if (!current) return this.#remove(record).finally(() => this.#isStored(key));
    const stored = current.stored || (await this.#create(current));
    this.#isStored(key);
    if (!stored) return;
    if (current.storedVersion === current.version && current.storedDatabase === current.database) return;
    await this.#writeStatus(current);
  }

  /** @returns false when the API will never take it, as in a namespace that is being deleted. */
  async #create(record: SyncRecord): Promise<boolean> {
    const { kube, log } = this.#options;
    const { signal } = this.#abort;
    try {
      await kube.create(typeOf(record), syncOf(record), { signal });
    } catch (error) {
      if (isKubeError(error, 403, 404, 422)) {
        log.debug("the API rejects the record of what a node has", {
          sync: syncNameOf(record),
          error: describeError(error),
        });
        return false;
      }
      if (!isKubeError(error, 409)) throw error;
    }
    record.stored = true;
    return true;
  }

  async #writeStatus(record: SyncRecord): Promise<void> {
    const { version, digest, database } = record;
    const isFirst = record.storedVersion === undefined && digest === undefined;
    const known = isFirst ? {} : { contentDigest: digest ?? null };
    const where = database === record.storedDatabase ? {} : { nodeDatabase: database ?? null };
    const patch = { status: { objectResourceVersion: version, ...known, ...where } };
    const { signal } = this.#abort;
    try {
      const options = { type: "merge", subresource: "status", signal } as const;
      await this.#options.kube.patch<ObjectSync>(typeOf(record), syncKeyOf(record), patch, options);
      record.storedVersion = version;
      record.storedDatabase = database;
    } catch (error) {
      if (isKubeError(error, 404)) record.stored = false;
      throw error;
    }
  }

  #isStored(key: string): void {
    this.#storing.get(key)?.resolve();
    this.#storing.delete(key);
  }

  async #remove(record: SyncRecord): Promise<void> {
    const { signal } = this.#abort;
    await ignoreMissing(this.#options.kube.remove(typeOf(record), syncKeyOf(record), { signal }));
  }
}

function typeOf({ object }: SyncRecord): ResourceType {
  return object.namespace ? resources.objectSyncs : resources.clusterObjectSyncs;
}

function syncKeyOf(record: SyncRecord): ObjectAt {
  const { namespace } = record.object;
  return { name: syncNameOf(record), ...(namespace ? { namespace } : {}) };
}
