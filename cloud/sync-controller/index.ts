import { resources, type Informer, type InformerHandler, type KubeClient } from "#cloud/kube-client";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { compareVersions, type Node } from "#shared/kube";
import { running, withDeadline, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { AckedObject, CloudCatalog, DeliveredObject } from "#shared/topics";
import {
  keyOf,
  neverAcknowledged,
  newRecord,
  recordOf,
  Records,
  type ObjectSync,
  type SyncRecord,
} from "./records.ts";
import { Sweep } from "./sweep.ts";
import { SyncWriter } from "./sync-writer.ts";

export type SyncControllerPort = Port<
  CloudCatalog,
  "node.resync",
  never,
  "object.acked" | "node.connected" | "node.disconnected",
  "object.sending" | "object.delivered"
>;

export interface SyncControllerParts {
  readonly port: SyncControllerPort;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Remembers, across restarts, which version of which object every node has acknowledged: as ObjectSync in the object's
 * namespace, or ClusterObjectSync. An object is in the API's record before it is sent, versions are written behind. Has connected nodes
 * compared about once a minute.
 */
export async function startSyncController(parts: SyncControllerParts): Promise<Running> {
  const { port, kube, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const nodes = stack.use(kube.informer<Node>(resources.nodes));
  const syncs = stack.use(kube.informer<ObjectSync>(resources.objectSyncs));
  const clusterSyncs = stack.use(kube.informer<ObjectSync>(resources.clusterObjectSyncs));
  const records = new Records();
  const writer = stack.use(new SyncWriter({ kube, records, clock, log }));
  const keeper = new Keeper({ records, writer, nodes, clock, log });
  await Promise.all([nodes.synced, syncs.synced, clusterSyncs.synced]);
  stack.use(syncs.watch(keeper.handler()));
  stack.use(clusterSyncs.watch(keeper.handler()));
  for (const node of records.nodes()) if (!nodes.get(node)) keeper.forgetNode(node);
  stack.use(nodes.watch({ removed: ({ metadata }) => keeper.forgetNode(metadata.name ?? "") }));
  const sweep = stack.use(new Sweep(clock, (node) => port.emit("node.resync", { node })));
  stack.use(
    port.on("node.connected", ({ node, database }) => {
      keeper.connected(node, database);
      sweep.add(node);
    }),
  );
  stack.use(port.on("node.disconnected", ({ node }) => sweep.remove(node)));
  stack.use(port.on("object.acked", (acked) => keeper.acked(acked)));
  stack.use(port.answer("object.sending", ({ node, object }) => keeper.sending(node, object)));
  stack.use(port.answer("object.delivered", async ({ node }) => keeper.delivered(node)));
  log.info("sync controller started", { nodes: records.nodes().length });
  return running("synccontroller", stack.move());
}

const removedKept = 10_000;
const recordMs = 5000;

interface KeeperParts {
  readonly records: Records;
  readonly writer: SyncWriter;
  readonly nodes: Informer<Node>;
  readonly clock: Clock;
  readonly log: Logger;
}

class Keeper {
  readonly #records: Records;
  readonly #writer: SyncWriter;
  readonly #nodes: Informer<Node>;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** Syncs removed here: the news of their making may still be on the way. */
  readonly #removed = new Set<string>();
  /** node → where it keeps its objects, where it says so */
  readonly #databases = new Map<string, string | undefined>();

  constructor(parts: KeeperParts) {
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
    this.#log.warn("A node has another database than before: what it had is sent again", { node, objects });
  }

  /** Nothing is kept of a node that is no Node: its records would have no end. */
  async sending(node: string, object: DeliveredObject): Promise<string> {
    const known = this.#records.get(node, object.uid);
    if (known && object.digest === "") this.#doubt(known);
    if (known?.stored) return this.#isLost(known) ? neverAcknowledged : known.version;
    if (!known && (!this.#nodes.get(node) || object.uid === "")) return neverAcknowledged;
    const record = known ?? newRecord(node, object);
    this.#records.add(record);
    const what = `Cannot record "${keyOf(record)}"`;
    await withDeadline(this.#clock, { ms: recordMs, what }, () => this.#writer.store(record));
    return record.version;
  }

  /** It is to go: unless that is acknowledged, whatever is to be there later has to be sent again. */
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

  /** Whether it was acknowledged by a database the node does not have any more: a new disk. */
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

  /** Another cloudcore may have written more than is known here; an echo of an older write says nothing. */
  #seen(sync: ObjectSync): void {
    const seen = recordOf(sync);
    if (!seen) return;
    const known = this.#records.get(seen.node, seen.object.uid);
    if (!known) {
      if (!this.#removed.has(keyOf(seen))) this.#records.add(seen);
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

  /** What a node has must stay known: a sync that others removed is written again. */
  #lost(sync: ObjectSync): void {
    const lost = recordOf(sync);
    if (lost) this.#removed.delete(keyOf(lost));
    const known = lost && this.#records.get(lost.node, lost.object.uid);
    if (!known) return;
    known.stored = false;
    known.storedVersion = undefined;
    known.storedDatabase = undefined;
    this.#writer.submit(known);
  }

  #remove(record: SyncRecord): void {
    const key = keyOf(record);
    this.#records.remove(record.node, record.object.uid);
    this.#removed.add(key);
    const [oldest] = this.#removed;
    if (this.#removed.size > removedKept && oldest !== undefined) this.#removed.delete(oldest);
    this.#writer.submit(record);
  }
}
