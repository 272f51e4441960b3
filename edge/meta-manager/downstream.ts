import type { Logger } from "#shared/log";
import { compareVersions, type KubeObject } from "#shared/kube";
import type { Delivery, ObjectChange, ReceivedObject } from "#shared/topics";
import type { Store } from "#edge/store";
import { onNextTurn } from "#shared/clock";

/** Rows of this type hold the last status of a pod, as it is sent to the cloud. */
export const podPatchType = "podpatch";

/** What the commit of one message means: whether to acknowledge, and whom to tell of which change. */
interface Outcome {
  readonly ack: boolean;
  readonly change?: ObjectChange;
}

interface Waiting {
  readonly delivery: ReceivedObject;
  readonly settled: PromiseWithResolvers<Delivery>;
}

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
  deliver(delivery: ReceivedObject): Promise<Delivery> {
    const settled = Promise.withResolvers<Delivery>();
    this.#waiting.push({ delivery, settled });
    if (this.#waiting.length === 1) onNextTurn(() => this.#commit());
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
      const outcomes = this.#store.transaction(() => batch.map(({ delivery }) => this.#apply(delivery)));
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

  #apply({ operation, type, namespace, name, object, fromController }: ReceivedObject): Outcome {
    const { metas } = this.#store;
    const key = metas.keyOf({ type, namespace, name });
    const change = { type, namespace, name, object };
    if (operation === "delete") return this.#remove(key, { ...change, object: undefined }, object);
    if (isStale(this.#store, key, object)) return { ack: true };
    metas.put({ key, type, value: JSON.stringify(object) });
    return fromController ? { ack: true, change } : { ack: operation === "create" };
  }

  #remove(key: string, change: ObjectChange, last: KubeObject): Outcome {
    const stored = readStored(this.#store, key);
    const { uid } = last.metadata;
    if (uid && stored?.metadata.uid && stored.metadata.uid !== uid) return { ack: true };
    this.#store.metas.remove(key);
    if (change.type === "pod")
      this.#store.metas.remove(this.#store.metas.keyOf({ ...change, type: podPatchType }));
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

/** Rows of older versions may hold an object as text inside of a text. */
function readObject(value: unknown): KubeObject | undefined {
  if (typeof value === "string") return parseText(value);
  if (typeof value !== "object" || value === null || !("metadata" in value)) return undefined;
  return typeof value.metadata === "object" && value.metadata !== null ? (value as KubeObject) : undefined;
}

function parseText(text: string): KubeObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" ? undefined : readObject(value);
  } catch {
    return undefined;
  }
}
