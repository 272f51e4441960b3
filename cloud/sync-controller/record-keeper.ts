import type { Informer, InformerHandler } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { compareVersions, type Node } from "#shared/kube";
import { withDeadline } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { AckedObject, DeliveredObject } from "#shared/topics";
import {
  neverAcknowledged,
  newRecord,
  syncNameOf,
  syncRecordOf,
  type ObjectSync,
  type Records,
  type SyncRecord,
} from "./records.ts";
import type { SyncWriter } from "./sync-writer.ts";

/** Removed records whose creation may still be reported by the API; of more the oldest are forgotten. */
const removedKept = 10_000;
/** An object waits this long for its record before it is put aside and tried again. */
const recordMs = 5000;

export interface RecordKeeperParts {
  readonly records: Records;
  readonly writer: SyncWriter;
  readonly nodes: Informer<Node>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What every node has, as it acknowledges it and as the API has it on record. */
export class RecordKeeper {
  readonly #records: Records;
  readonly #writer: SyncWriter;
  readonly #nodes: Informer<Node>;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** Syncs removed here: the API may still report their creation. */
  readonly #removed = new Set<string>();
  /** node → the name of its database, where it sends that */
  readonly #databases = new Map<string, string | undefined>();

  constructor(parts: RecordKeeperParts) {
    this.#records = parts.records;
    this.#writer = parts.writer;
    this.#nodes = parts.nodes;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  connected(node: string, database: string | undefined): void {
    this.#databases.set(node, database);
    const objects = this.#records.of(node).filter((record) => this.#isLost(record)).length;
    if (objects === 0) return;
    this.#log.warn("a node has another database than before: what it had is sent again", { node, objects });
  }

  /** Nothing is recorded for a name without a Node: no deletion would ever remove it. */
  async sending(node: string, object: DeliveredObject): Promise<string> {
    const known = this.#records.get(node, object.uid);
    if (known && object.digest === "") this.#doubt(known);
    if (known?.stored) return this.#isLost(known) ? neverAcknowledged : known.version;
    if (!known && (!this.#nodes.get(node) || object.uid === "")) return neverAcknowledged;
    const record = known ?? newRecord(node, object);
    this.#records.add(record);
    const what = `Cannot record "${syncNameOf(record)}"`;
    await withDeadline(this.#clock, { ms: recordMs, what }, () => this.#writer.store(record));
    return record.version;
  }

  /** It is to be deleted: until that is acknowledged, the version on record proves nothing. */
  #doubt(record: SyncRecord): void {
    if (record.digest === "") return;
    record.digest = "";
    record.storedVersion = undefined;
    this.#writer.submit(record);
  }

  acked({ node, deleted, ...object }: AckedObject): void {
    const known = this.#records.get(node, object.uid);
    if (deleted) {
      if (known) this.#remove(known);
      return;
    }
    const database = this.#databases.get(node);
    if (known?.version === object.resourceVersion && known.database === database) {
      known.digest = object.digest;
      return;
    }
    if (!known && (!this.#nodes.get(node) || object.uid === "")) return;
    const record = known ?? newRecord(node, object);
    record.version = object.resourceVersion;
    record.digest = object.digest;
    record.database = database;
    this.#records.add(record);
    this.#writer.submit(record);
  }

  /** Whether it was acknowledged by a database that the node does not have any more, as after a new disk. */
  #isLost({ node, database }: SyncRecord): boolean {
    const now = this.#databases.get(node);
    return now !== undefined && now !== database;
  }

  delivered(node: string): DeliveredObject[] {
    return this.#records.of(node).map((record) => {
      const { object, version, digest } = record;
      if (this.#isLost(record)) return { ...object, resourceVersion: neverAcknowledged };
      return { ...object, resourceVersion: version, ...(digest === undefined ? {} : { digest }) };
    });
  }

  forgetNode(node: string): void {
    for (const record of this.#records.of(node)) this.#remove(record);
    this.#databases.delete(node);
  }

  handler(): InformerHandler<ObjectSync> {
    return {
      added: (sync) => this.#seen(sync),
      updated: (sync) => this.#seen(sync),
      removed: (sync) => this.#lost(sync),
    };
  }

  /** Another cloudcore may have written a later version; the echo of an own older write changes nothing. */
  #seen(sync: ObjectSync): void {
    const seen = syncRecordOf(sync);
    if (!seen) return;
    const known = this.#records.get(seen.node, seen.object.uid);
    if (!known) {
      if (!this.#removed.has(syncNameOf(seen))) this.#records.add(seen);
      return;
    }
    if (compareVersions(seen.version, known.version) > 0) {
      known.version = seen.version;
      known.digest = seen.digest;
      known.database = seen.database;
      known.storedDatabase = seen.database;
      known.storedVersion = seen.version;
    }
    known.stored = true;
  }

  /** What a node has must stay on record: a sync that was deleted by others is written again. */
  #lost(sync: ObjectSync): void {
    const lost = syncRecordOf(sync);
    if (lost) this.#removed.delete(syncNameOf(lost));
    const known = lost && this.#records.get(lost.node, lost.object.uid);
    if (!known) return;
    known.stored = false;
    known.storedVersion = undefined;
    known.storedDatabase = undefined;
    this.#writer.submit(known);
  }

  #remove(record: SyncRecord): void {
    const key = syncNameOf(record);
    this.#records.remove(record.node, record.object.uid);
    this.#removed.add(key);
    const [oldest] = this.#removed;
    if (this.#removed.size > removedKept && oldest !== undefined) this.#removed.delete(oldest);
    this.#writer.submit(record);
  }
}
