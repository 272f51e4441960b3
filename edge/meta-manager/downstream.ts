import type { Logger } from "#shared/log";
import { compareVersions, type KubeObject } from "#shared/kube";
import type { Delivery, ObjectChange } from "#shared/topics";
import { operations, parseResource, resourceTypes, sources, type WireMessage } from "#shared/wire";
import type { Store } from "#edge/store";

/** What the commit of one message means: whether to acknowledge, and whom to tell of which change. */
interface Outcome {
  readonly ack: boolean;
  readonly change?: ObjectChange;
}

interface Waiting {
  readonly message: WireMessage;
  readonly settled: PromiseWithResolvers<Delivery>;
}

const told: readonly string[] = [
  sources.edgeController,
  sources.controller,
  sources.deviceController,
  "dynamiccontroller",
];

/**
 * Objects from the cloud: committed, then told, then acknowledged. Messages that arrive in one turn share a commit;
 * changes are told in order of arrival.
 */
export class Downstream {
  readonly #store: Store;
  readonly #tell: (change: ObjectChange) => Promise<void>;
  readonly #log: Logger;
  #waiting: Waiting[] = [];
  #telling: Promise<void> = Promise.resolve();

  constructor(store: Store, tell: (change: ObjectChange) => Promise<void>, log: Logger) {
    this.#store = store;
    this.#tell = tell;
    this.#log = log;
  }

  /** Resolves after commit and telling; rejects when either failed, and then nothing may be acknowledged. */
  deliver(message: WireMessage): Promise<Delivery> {
    const settled = Promise.withResolvers<Delivery>();
    this.#waiting.push({ message, settled });
    if (this.#waiting.length === 1) setImmediate(() => this.#commit());
    return settled.promise;
  }

  /** Resolves when all that was delivered so far has been told. */
  async drained(): Promise<void> {
    await this.#telling;
  }

  #commit(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    try {
      const outcomes = this.#store.transaction(() => batch.map(({ message }) => this.#apply(message)));
      this.#telling = this.#telling.then(async () => {
        for (const [index, { settled }] of batch.entries()) await this.#settle(settled, outcomes[index]);
      });
    } catch (error) {
      this.#log.error("objects from the cloud could not be stored", { error, count: batch.length });
      for (const { settled } of batch) settled.reject(error);
    }
  }

  async #settle(settled: PromiseWithResolvers<Delivery>, outcome: Outcome | undefined): Promise<void> {
    try {
      if (outcome?.change) await this.#tell(outcome.change);
      settled.resolve({ ack: outcome?.ack ?? false });
    } catch (error) {
      settled.reject(error);
    }
  }

  #apply(message: WireMessage): Outcome {
    const { operation, resource = "", source = "" } = message.route;
    const path = parseResource(resource);
    const object = readObject(message.content);
    if (!path || path.name === "" || !object) {
      this.#log.warn("object from the cloud refused", { resource, operation });
      return { ack: false };
    }
    const change = { ...path, object };
    if (operation === operations.delete)
      return this.#remove(resource, { ...change, object: undefined }, object);
    if (operation !== operations.insert && operation !== operations.update) return { ack: false };
    if (isStale(this.#store, resource, object)) return { ack: true };
    this.#store.metas.put({ key: resource, type: path.type, value: JSON.stringify(object) });
    // KubeEdge stores an update of a source it does not know, and neither tells nor acknowledges it.
    if (!told.includes(source)) return { ack: operation === operations.insert };
    return { ack: true, change };
  }

  #remove(key: string, change: ObjectChange, last: KubeObject): Outcome {
    const stored = readStored(this.#store, key);
    const { uid } = last.metadata;
    if (uid && stored?.metadata.uid && stored.metadata.uid !== uid) return { ack: true };
    this.#store.metas.remove(key);
    if (change.type === resourceTypes.pod)
      this.#store.metas.remove(`${change.namespace}/${resourceTypes.podPatch}/${change.name}`);
    return { ack: true, change };
  }
}

/** Whether something newer of the same object is stored. */
export function isStale(store: Store, key: string, object: KubeObject): boolean {
  const stored = readStored(store, key);
  if (!stored || stored.metadata.uid !== object.metadata.uid) return false;
  return compareVersions(object.metadata.resourceVersion, stored.metadata.resourceVersion) < 0;
}

/** The object of a stored row; a row that cannot be read counts as none. */
export function readStored(store: Store, key: string): KubeObject | undefined {
  const row = store.metas.find(key);
  return row ? parseRow(row.value) : undefined;
}

export function parseRow(value: string): KubeObject | undefined {
  try {
    return readObject(JSON.parse(value));
  } catch {
    return undefined;
  }
}

/** KubeEdge sends an object as JSON value; a v0.x edge's helper sends it as text. */
function readObject(content: unknown): KubeObject | undefined {
  if (typeof content === "string") return parseText(content);
  if (typeof content !== "object" || content === null || !("metadata" in content)) return undefined;
  return typeof content.metadata === "object" && content.metadata !== null
    ? (content as KubeObject)
    : undefined;
}

function parseText(text: string): KubeObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" ? undefined : readObject(value);
  } catch {
    return undefined;
  }
}
