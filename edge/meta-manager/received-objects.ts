import type { Logger } from "#shared/log";
import type { KubeObject } from "#shared/kube";
import type { Delivery, ObjectChange, ReceivedObject, StoredObject } from "#shared/topics";
import type { Store } from "#edge/store";
import { onNextTurn } from "#shared/clock";
import { isStale, podPatchType, readStored } from "./object-rows.ts";

/** What the commit of one delivery means: whether to acknowledge it, and which change to notify of. */
interface Outcome {
  readonly ack: boolean;
  readonly change?: ObjectChange;
  /** The row that was written or removed. */
  readonly stored?: StoredObject;
}

interface PendingDelivery {
  readonly delivery: ReceivedObject;
  readonly settled: PromiseWithResolvers<Delivery>;
}

type Notify = (change: ObjectChange) => Promise<void>;

/**
 * Objects from the cloud: committed, then the modules are notified, then acknowledged. Deliveries of one turn of the event
 * loop share a commit; modules are notified in order of arrival.
 */
export class ReceivedObjects {
  readonly #store: Store;
  readonly #notify: Notify;
  readonly #onStored: (object: StoredObject) => void;
  readonly #log: Logger;
  #pending: PendingDelivery[] = [];
  /** Tail of the notifications. */
  #notified: Promise<void> = Promise.resolve();

  constructor(
    store: Store,
    deps: {
      readonly notify: Notify;
      readonly onStored: (object: StoredObject) => void;
      readonly log: Logger;
    },
  ) {
    this.#store = store;
    this.#notify = deps.notify;
    this.#onStored = deps.onStored;
    this.#log = deps.log;
  }

  /** Resolves after commit and notification; rejects when either failed, and then nothing may be acknowledged. */
  deliver(delivery: ReceivedObject): Promise<Delivery> {
    const settled = Promise.withResolvers<Delivery>();
    this.#pending.push({ delivery, settled });
    // Not a delay: the frames that one read of the socket brought are delivered before it runs.
    if (this.#pending.length === 1) onNextTurn(() => this.#commit());
    return settled.promise;
  }

  /** Resolves when the modules were notified of all that was committed so far. */
  async drained(): Promise<void> {
    await this.#notified;
  }

  #commit(): void {
    const batch = this.#pending;
    this.#pending = [];
    try {
      const outcomes = this.#store.transaction(() => batch.map(({ delivery }) => this.#apply(delivery)));
      for (const { stored } of outcomes) if (stored) this.#onStored(stored);
      this.#notified = this.#notified.then(async () => {
        for (const [index, { settled }] of batch.entries()) await this.#settle(settled, outcomes[index]);
      });
    } catch (error) {
      this.#log.error("cannot store objects from the cloud", { error, count: batch.length });
      for (const { settled } of batch) settled.reject(error);
    }
  }

  async #settle(settled: PromiseWithResolvers<Delivery>, outcome: Outcome | undefined): Promise<void> {
    try {
      if (outcome?.change) await this.#notify(outcome.change);
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
    const stored = { type, namespace, name };
    return fromController ? { ack: true, change, stored } : { ack: operation === "create", stored };
  }

  /** The deletion of an earlier object of this name leaves the later one alone. */
  #remove(key: string, change: ObjectChange, last: KubeObject): Outcome {
    const { metas } = this.#store;
    const stored = readStored(this.#store, key);
    const { uid } = last.metadata;
    if (uid && stored?.metadata.uid && stored.metadata.uid !== uid) return { ack: true };
    metas.remove(key);
    if (change.type === "pod") metas.remove(metas.keyOf({ ...change, type: podPatchType }));
    const { type, namespace, name } = change;
    return { ack: true, change, stored: { type, namespace, name, removed: stored ?? last } };
  }
}
