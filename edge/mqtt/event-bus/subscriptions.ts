import type { MqttClient } from "mqtt";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { Store } from "#edge/store";

export interface ExternalSubscriptionParts {
  readonly client: MqttClient;
  readonly store: Pick<Store, "metas">;
  /** What tells the session at the broker from others: address and client id. */
  readonly session: string;
  readonly log: Pick<Logger, "warn">;
}

const type = "mqttsubscriptions";
const key = `${type}/external`;

/**
 * The filters at the broker, which keeps them for a client that is away: what it has is not asked for again, or it would
 * send everything retained as if it were news, and what is no longer wanted is given up, also after a restart.
 */
export class ExternalSubscriptions {
  readonly #parts: ExternalSubscriptionParts;
  #wanted: ReadonlySet<string>;
  /** Those the broker was asked for: it may have them. */
  readonly #asked: Set<string>;
  /** Those it has confirmed. */
  readonly #there: Set<string>;

  constructor(parts: ExternalSubscriptionParts, wanted: readonly string[]) {
    this.#parts = parts;
    this.#wanted = new Set(wanted);
    const stored = readStored(parts);
    this.#asked = new Set(stored.asked);
    this.#there = new Set(stored.there);
  }

  watch(next: readonly string[]): void {
    const before = this.#wanted;
    this.#wanted = new Set(next);
    if (this.#parts.client.connected) this.#tell([...this.#wanted].filter((filter) => !before.has(filter)));
  }

  connected(sessionPresent: boolean): void {
    if (!sessionPresent) {
      this.#asked.clear();
      this.#there.clear();
    }
    this.#tell([...this.#wanted].filter((filter) => !this.#there.has(filter)));
  }

  #tell(fresh: readonly string[]): void {
    if (fresh.length > 0) this.#subscribe(fresh);
    for (const filter of this.#asked) if (!this.#wanted.has(filter)) this.#unsubscribe(filter);
  }

  #subscribe(filters: readonly string[]): void {
    for (const filter of filters) this.#asked.add(filter);
    this.#save();
    this.#parts.client.subscribe([...filters], { qos: 1 }, (error) => {
      if (error) return this.#complain("a subscription", error);
      for (const filter of filters) this.#there.add(filter);
      this.#save();
    });
  }

  #unsubscribe(filter: string): void {
    const { client } = this.#parts;
    client.unsubscribe(filter, (error) => {
      if (error) return this.#complain("to forget a subscription", error);
      this.#asked.delete(filter);
      this.#there.delete(filter);
      this.#save();
      // It may be wanted again by now.
      if (this.#wanted.has(filter) && client.connected) this.#subscribe([filter]);
    });
  }

  #save(): void {
    const { store, session, log } = this.#parts;
    try {
      store.metas.put({
        key,
        type,
        value: JSON.stringify({ session, asked: [...this.#asked], there: [...this.#there] }),
      });
    } catch (error) {
      log.warn("cannot note what the external MQTT broker is subscribed to", { error: describeError(error) });
    }
  }

  #complain(what: string, error: Error): void {
    this.#parts.log.warn("external MQTT broker refused", { what, error: describeError(error) });
  }
}

interface Stored {
  readonly session: string;
  readonly asked: readonly string[];
  readonly there: readonly string[];
}

function readStored({ store, session }: ExternalSubscriptionParts): Omit<Stored, "session"> {
  const text = store.metas.find(key)?.value;
  const stored = text === undefined ? undefined : parseStored(text);
  return stored?.session === session ? stored : { asked: [], there: [] };
}

/** What cannot be read is asked for again. */
function parseStored(text: string): Stored | undefined {
  try {
    const stored = JSON.parse(text) as Partial<Stored> | null;
    return Array.isArray(stored?.asked) && Array.isArray(stored.there) ? (stored as Stored) : undefined;
  } catch {
    return undefined;
  }
}
