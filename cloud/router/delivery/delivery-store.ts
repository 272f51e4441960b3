import type { Database } from "bun:sqlite";
import { onNextTurn, type Clock } from "#shared/clock";
import { asError, ClosedError, UnavailableError } from "#shared/errors";
import { recordOf } from "#shared/json";
import type { Logger } from "#shared/log";
import { openExpendableDatabase } from "#shared/sqlite";
import type { DeliveryRequest, NewDelivery, StoredDelivery } from "./delivery.ts";
import { prepareDeliveries, type DeliveryRow, type DeliveryStatements } from "./delivery-statements.ts";
import { deliveryFormat } from "./format.ts";

export interface DeliveryStoreOptions {
  /** A file. */
  readonly path: string;
  /** Of the messages of one rule. */
  readonly mostBytesARule: number;
  readonly clock: Pick<Clock, "nowMs">;
  readonly log: Logger;
}

export interface Lane {
  readonly rule: string;
  readonly node: string;
}

interface Usage {
  bytes: number;
  count: number;
}

interface Batch {
  readonly work: (() => void)[];
  readonly done: PromiseWithResolvers<void>;
}

/** Beside the body: row, request and indexes. */
const bytesARow = 256;

/**
 * Messages of rules that wait, in order of arrival for each rule and node.
 *
 * 1. What was added is on disk when `add` resolves; all of one turn of the event loop shares a commit.
 * 2. A message that its sender repeats while it waits is there once.
 * 3. The messages of a rule are bounded by bytes: `add` says what does not fit, `makeRoom` drops the oldest.
 */
export class DeliveryStore implements AsyncDisposable {
  readonly #database: Database;
  readonly #options: DeliveryStoreOptions;
  readonly #statements: DeliveryStatements;
  /** by rule */
  readonly #usage = new Map<string, Usage>();
  #batch: Batch | undefined;
  #closed = false;

  /** @throws ConfigError when the file cannot be used */
  constructor(options: DeliveryStoreOptions) {
    this.#options = options;
    const { path, clock, log } = options;
    this.#database = openExpendableDatabase(path, {
      format: deliveryFormat,
      nowMs: clock.nowMs(),
      log,
    });
    this.#statements = prepareDeliveries(this.#database);
    for (const { rule, bytes, count } of this.#statements.usage.all())
      this.#usage.set(rule, { bytes, count });
  }

  countOf(rule: string): number {
    return this.#usage.get(rule)?.count ?? 0;
  }

  /** Whether so much more of a rule may wait. */
  hasRoom(rule: string, deliveries: readonly NewDelivery[]): boolean {
    const bytes = deliveries.reduce((sum, one) => sum + sizeOf(one), 0);
    return (this.#usage.get(rule)?.bytes ?? 0) + bytes <= this.#options.mostBytesARule;
  }

  /** Drops the oldest messages of a rule until those fit, or nothing is left. @returns how many were dropped */
  async makeRoom(rule: string, deliveries: readonly NewDelivery[]): Promise<number> {
    let dropped = 0;
    while (!this.hasRoom(rule, deliveries) && this.countOf(rule) > 0) {
      await this.#inBatch(() => {
        const gone = this.#statements.dropOldest.all(rule);
        this.#forget(gone);
        dropped += gone.length;
      });
    }
    return dropped;
  }

  /** @throws UnavailableError when the commit failed: nothing of it happened */
  async add(deliveries: readonly NewDelivery[]): Promise<void> {
    await this.#inBatch(() => {
      for (const delivery of deliveries) this.#insert(delivery);
    });
  }

  /** The oldest message of a lane after an id. */
  next({ rule, node }: Lane, afterId: number): StoredDelivery | undefined {
    const row = this.#statements.next.get(rule, node, afterId);
    return row ? toDelivery(row) : undefined;
  }

  /** It was delivered, or dropped. After a crash it may be there once more. */
  async remove(id: number): Promise<void> {
    await this.#inBatch(() => this.#forget(this.#statements.remove.all(id)));
  }

  async failed(id: number): Promise<void> {
    await this.#inBatch(() => void this.#statements.failed.run(id));
  }

  /** Everything of a rule that does not exist any more. */
  async dropRule(rule: string): Promise<void> {
    if (this.countOf(rule) > 0) await this.#inBatch(() => this.#forget(this.#statements.dropRule.all(rule)));
  }

  /** @returns the rules of the messages that were dropped because they are older */
  async expire(beforeMs: number): Promise<string[]> {
    const rules: string[] = [];
    await this.#inBatch(() => {
      const gone = this.#statements.expire.all(beforeMs);
      this.#forget(gone);
      rules.push(...gone.map(({ rule }) => rule));
    });
    return rules;
  }

  lanes(): Lane[] {
    return this.#statements.lanes.all();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await this.#batch?.done.promise.catch(() => undefined);
    this.#closed = true;
    this.#database.close();
  }

  async #inBatch(work: () => void): Promise<void> {
    if (this.#closed) throw new ClosedError("Cannot store a message: the store is closed");
    const batch = (this.#batch ??= this.#begin());
    batch.work.push(work);
    await batch.done.promise;
  }

  #begin(): Batch {
    const batch: Batch = { work: [], done: Promise.withResolvers<void>() };
    batch.done.promise.catch(() => undefined);
    onNextTurn(() => this.#commit(batch));
    return batch;
  }

  #commit(batch: Batch): void {
    this.#batch = undefined;
    const before = new Map([...this.#usage].map(([rule, usage]) => [rule, { ...usage }]));
    try {
      this.#database.transaction(() => {
        for (const work of batch.work) work();
      })();
      batch.done.resolve();
    } catch (error) {
      this.#usage.clear();
      for (const [rule, usage] of before) this.#usage.set(rule, usage);
      const text = `Cannot store messages of rules: ${asError(error).message}`;
      batch.done.reject(new UnavailableError("store-failed", text, { cause: error }));
    }
  }

  #insert(delivery: NewDelivery): void {
    const { rule, node, origin, messageId, request, body } = delivery;
    const bytes = sizeOf(delivery);
    const createdMs = this.#options.clock.nowMs();
    const values = [rule, node, origin, messageId, createdMs, bytes, JSON.stringify(request), body] as const;
    if (this.#statements.insert.run(...values).changes === 0) return;
    const usage = this.#usage.get(rule) ?? { bytes: 0, count: 0 };
    this.#usage.set(rule, { bytes: usage.bytes + bytes, count: usage.count + 1 });
  }

  #forget(gone: readonly { readonly rule: string; readonly bytes: number }[]): void {
    for (const { rule, bytes } of gone) {
      const usage = this.#usage.get(rule);
      if (!usage) continue;
      if (usage.count <= 1) this.#usage.delete(rule);
      else this.#usage.set(rule, { bytes: usage.bytes - bytes, count: usage.count - 1 });
    }
  }
}

function sizeOf({ request, body, messageId }: NewDelivery): number {
  return body.length + JSON.stringify(request).length + messageId.length + bytesARow;
}

function toDelivery({ request, ...row }: DeliveryRow): StoredDelivery {
  // Written by `#insert`; the file is ours alone.
  return { ...row, request: recordOf(JSON.parse(request)) as unknown as DeliveryRequest };
}
