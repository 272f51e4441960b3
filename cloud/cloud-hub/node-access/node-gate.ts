import { resources, type Informer, type KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { describeError, ProtocolError } from "#shared/errors";
import type { ConfigMap, Node } from "#shared/kube";
import { KeyedWorker } from "#shared/lifecycle";
import { RateLimitedLog, type Logger } from "#shared/log";
import { Limiter } from "./limiter.ts";
import {
  accessNamespace,
  emptyRecord,
  isNodeRecord,
  readRecord,
  recordName,
  type NodeRecord,
} from "./node-record.ts";
import { RecordStore } from "./record-store.ts";
import { noteConnection, refuseCertificate, type NodeRefusal, type ShownCertificate } from "./rules.ts";

/** What is not recorded is recorded with the next connection of the node. */
const noteTries = 4;
const noteRetryMs = 2000;
/** So many records are written side by side when all nodes come at once. */
const mostNotes = 8;
/** Questions to the API about one node that was refused, a minute. */
const mostQuestions = 30;

export interface GateParts {
  /** hex SHA-256 of the CA of the nodes' certificates */
  readonly ca: () => string;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Decides whether a node may be connected: from a cached copy of its record, and from the API itself before it is refused, as
 * the copy may be stale. Records which certificate each node has connected with.
 */
export class NodeGate implements AsyncDisposable {
  readonly #parts: GateParts;
  readonly #records: RecordStore;
  readonly #copies: { readonly records: Informer<ConfigMap>; readonly nodes: Informer<Node> };
  /** connected and not yet on record */
  readonly #shown = new Map<string, ShownCertificate>();
  readonly #changed = new Set<(node: string) => void>();
  readonly #questions: Limiter;
  readonly #seldom: RateLimitedLog;
  readonly #notes: KeyedWorker<string, true>;
  readonly #watches = new DisposableStack();
  readonly #slots: Array<() => void> = [];
  #busy = 0;

  constructor(parts: GateParts) {
    const { kube, clock, log } = parts;
    this.#parts = parts;
    this.#records = new RecordStore(kube);
    this.#copies = { records: kube.informer(resources.configMaps), nodes: kube.informer(resources.nodes) };
    this.#questions = new Limiter(clock, mostQuestions);
    this.#seldom = new RateLimitedLog(log, clock);
    this.#notes = new KeyedWorker(
      (node, _note, signal) => this.#inTurn(() => this.#note(node, signal)),
      (node, error) => this.#failed(node, error),
    );
  }

  /** Resolves when both copies are complete. */
  async start(): Promise<void> {
    const { records, nodes } = this.#copies;
    await Promise.all([records.synced, nodes.synced]);
    let isFirst = true;
    const changed = (object: ConfigMap): void => {
      if (isFirst || !isNodeRecord(object)) return;
      const node = object.data?.["node"];
      if (node !== undefined) this.#notify(node);
    };
    this.#watches.use(records.watch({ added: changed, updated: changed, removed: changed }));
    this.#watches.use(
      nodes.watch({
        added: ({ metadata: { name = "", uid } }) => {
          const known = this.#local(name);
          if (known instanceof ProtocolError) return;
          if (isFirst ? known && known.nodeUid !== uid : true) this.#notes.submit(name, true);
        },
        removed: ({ metadata: { name = "" } }) => this.#notify(name),
      }),
    );
    isFirst = false;
  }

  /** Calls `run` with every node whose admission may have changed. */
  watch(run: (node: string) => void): Disposable {
    this.#changed.add(run);
    return { [Symbol.dispose]: () => void this.#changed.delete(run) };
  }

  /** @returns why the node is refused; confirmed by the API */
  async admit(node: string, shown: ShownCertificate): Promise<NodeRefusal | undefined> {
    const local = this.#judge(node, shown);
    if (!local) return undefined;
    if (this.#questions.waitOf(node) !== undefined) return local;
    this.#questions.count(node);
    try {
      const { record, node: object } = await this.#records.read(node);
      return refuseCertificate(record, object !== undefined, shown);
    } catch (error) {
      if (error instanceof ProtocolError) return damaged(error);
      this.#seldom.warn("cannot ask the API about a node", { node, error: describeError(error) }, node);
      return local;
    }
  }

  connected(node: string, shown: ShownCertificate): void {
    const known = this.#local(node);
    if (known instanceof ProtocolError) return;
    const nodeUid = this.#copies.nodes.get(node)?.metadata.uid;
    const ca = this.#parts.ca();
    if (known && noteConnection(known, shown, { ca, nodeUid }) === known) return;
    this.#shown.set(node, shown);
    this.#notes.submit(node, true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watches.dispose();
    await this.#notes[Symbol.asyncDispose]();
    await this.#copies.records[Symbol.asyncDispose]();
    await this.#copies.nodes[Symbol.asyncDispose]();
  }

  #judge(node: string, shown: ShownCertificate): NodeRefusal | undefined {
    const known = this.#local(node);
    if (known instanceof ProtocolError) return damaged(known);
    return refuseCertificate(known, this.#copies.nodes.get(node) !== undefined, shown);
  }

  #local(node: string): NodeRecord | ProtocolError | undefined {
    const object = this.#copies.records.get(`${accessNamespace}/${recordName(node)}`);
    try {
      return object && readRecord(object);
    } catch (error) {
      if (error instanceof ProtocolError) return error;
      throw error;
    }
  }

  #notify(node: string): void {
    for (const run of this.#changed) run(node);
  }

  async #note(node: string, signal: AbortSignal): Promise<void> {
    const shown = this.#shown.get(node);
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      try {
        await this.#records.update(node, (record, object) => {
          const uid = object?.metadata.uid;
          if (shown)
            return noteConnection(record ?? emptyRecord(node), shown, { ca: this.#parts.ca(), nodeUid: uid });
          return record && uid !== undefined && record.nodeUid !== uid ? { ...record, nodeUid: uid } : record;
        });
        if (this.#shown.get(node) === shown) this.#shown.delete(node);
        return;
      } catch (error) {
        if (error instanceof ProtocolError || attempt === noteTries) throw error;
      }
      await this.#parts.clock.sleep(noteRetryMs * attempt, { signal });
    }
  }

  #failed(node: string, error: unknown): void {
    this.#seldom.warn(
      "cannot record which certificate a node uses; on a real cluster apply conf/rbac/cloudcore.yaml again",
      { node, error: describeError(error) },
      node,
    );
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    if (this.#busy >= mostNotes) await new Promise<void>((resolve) => void this.#slots.push(resolve));
    else this.#busy += 1;
    try {
      await work();
    } finally {
      const next = this.#slots.shift();
      if (next) next();
      else this.#busy -= 1;
    }
  }
}

function damaged(error: ProtocolError): NodeRefusal {
  return { reason: "damaged", text: error.message };
}
