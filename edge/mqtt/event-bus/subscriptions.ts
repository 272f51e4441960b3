import type { MqttClient } from "mqtt";
import { describeError } from "#shared/errors";
import { isRecord } from "#shared/json";
import type { Logger } from "#shared/log";
import type { Store } from "#edge/store";

export interface ExternalSubscriptionParts {
  readonly client: MqttClient;
  readonly store: Pick<Store, "metas">;
  /** Identifies the session at the broker: address and client id. */
  readonly session: string;
  readonly log: Pick<Logger, "warn">;
}

const type = "mqttsubscriptions";
const key = `${type}/external`;

/**
 * Subscriptions in the session at the external broker, also stored here. Only what is missing is subscribed, because the
 * broker would send all retained messages again, and what is no longer needed is unsubscribed, also after a restart.
 */
export class ExternalSubscriptions {
  readonly #parts: ExternalSubscriptionParts;
  #wanted: ReadonlySet<string>;
  /** Filters sent to the broker in a SUBSCRIBE: it may have them. */
  readonly #asked: Set<string>;
  /** Filters that the broker has confirmed. */
  readonly #confirmed: Set<string>;

  constructor(parts: ExternalSubscriptionParts, wanted: readonly string[]) {
    this.#parts = parts;
    this.#wanted = new Set(wanted);
    const stored = readStored(parts);
    this.#asked = new Set(stored.asked);
    this.#confirmed = new Set(stored.there);
  }

  watch(next: readonly string[]): void {
    const before = this.#wanted;
    this.#wanted = new Set(next);
    if (this.#parts.client.connected) this.#update([...this.#wanted].filter((filter) => !before.has(filter)));
  }

  connected(sessionPresent: boolean): void {
    if (!sessionPresent) {
      this.#asked.clear();
      this.#confirmed.clear();
    }
    this.#update([...this.#wanted].filter((filter) => !this.#confirmed.has(filter)));
  }

  #update(added: readonly string[]): void {
    if (added.length > 0) this.#subscribe(added);
    for (const filter of this.#asked) if (!this.#wanted.has(filter)) this.#unsubscribe(filter);
  }

  #subscribe(filters: readonly string[]): void {
    for (const filter of filters) this.#asked.add(filter);
    this.#save();
    this.#parts.client.subscribe([...filters], { qos: 1 }, (error) => {
      if (error) return this.#logRefused("subscribe", error);
      for (const filter of filters) this.#confirmed.add(filter);
      this.#save();
    });
  }

  #unsubscribe(filter: string): void {
    const { client } = this.#parts;
    client.unsubscribe(filter, (error) => {
      if (error) return this.#logRefused("unsubscribe", error);
      this.#asked.delete(filter);
      this.#confirmed.delete(filter);
      this.#save();
      // It may be needed again by now.
      if (this.#wanted.has(filter) && client.connected) this.#subscribe([filter]);
    });
  }

  #save(): void {
    const { store, session, log } = this.#parts;
    try {
      store.metas.put({
        key,
        type,
        value: JSON.stringify({ session, asked: [...this.#asked], there: [...this.#confirmed] }),
      });
    } catch (error) {
      log.warn("cannot store the subscriptions at the external MQTT broker", { error: describeError(error) });
    }
  }

  #logRefused(what: string, error: Error): void {
    this.#parts.log.warn("external MQTT broker refused a request", { what, error: describeError(error) });
  }
}

interface StoredFilters {
  readonly session: string;
  readonly asked: readonly string[];
  readonly there: readonly string[];
}

function readStored({ store, session }: ExternalSubscriptionParts): Omit<StoredFilters, "session"> {
  const text = store.metas.find(key)?.value;
  const stored = text === undefined ? undefined : parseStored(text);
  return stored?.session === session ? stored : { asked: [], there: [] };
}

/** @returns undefined when it cannot be read: then everything is subscribed again */
function parseStored(text: string): StoredFilters | undefined {
  try {
    const stored: unknown = JSON.parse(text);
    if (!isRecord(stored)) return undefined;
    const { session, asked, there } = stored;
    return typeof session === "string" && isStrings(asked) && isStrings(there)
      ? { session, asked, there }
      : undefined;
  } catch {
    return undefined;
  }
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}
