import type { MqttSessions, Store } from "#edge/store";

type Write = (sessions: MqttSessions) => void;

/**
 * Writes of the broker, one transaction a turn of the event loop. A write replaces an earlier one of the same key that
 * has not reached the disk, so that a packet which comes and goes within a turn costs nothing.
 */
export class Journal {
  readonly #store: Store;
  #writes = new Map<string, Write>();
  #flushed: Promise<void> | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  add(key: string, write: Write): void {
    this.#writes.set(key, write);
  }

  /** Forgets a write that was not done yet. @returns whether there was one */
  cancel(key: string): boolean {
    return this.#writes.delete(key);
  }

  /** Resolves when everything added so far is on disk; rejects when it could not be written. */
  commit(): Promise<void> {
    if (this.#writes.size === 0) return this.#flushed ?? Promise.resolve();
    this.#flushed ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#flush());
    return this.#flushed;
  }

  #flush(): void {
    const writes = this.#writes;
    this.#writes = new Map();
    this.#flushed = undefined;
    const { mqttSessions } = this.#store;
    this.#store.transaction(() => {
      for (const write of writes.values()) write(mqttSessions);
    });
  }
}
