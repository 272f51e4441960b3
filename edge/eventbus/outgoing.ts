import type { MqttClient } from "mqtt";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { MqttMessage } from "#shared/message";
import type { OutgoingRow, Store } from "#edge/store";

export interface OutgoingParts {
  readonly store: Pick<Store, "mqttOutgoing" | "transaction">;
  readonly client: Pick<MqttClient, "connected" | "publish">;
  readonly log: Logger;
}

/** Messages kept for a broker that is away; past them the oldest go. */
const mostKept = 10_000;
/** Messages the broker has not acknowledged yet, at a time. */
const mostUnderWay = 256;

/**
 * What edgecore says to the external broker, on disk until the broker acknowledged it (QoS 1) and in order: a broker
 * that is away, and edgecore ending meanwhile, lose nothing. Writes of one turn of the event loop share a commit.
 */
export class Outgoing {
  readonly #parts: OutgoingParts;
  #last: number;
  #kept: number;
  /** Rows up to here were given to the client. */
  #sentUpTo = 0;
  #underWay = 0;
  #fresh: OutgoingRow[] = [];
  #done: number[] = [];
  #scheduled = false;
  #dropping = false;

  constructor(parts: OutgoingParts) {
    this.#parts = parts;
    const { entries, last } = parts.store.mqttOutgoing.size();
    this.#kept = entries;
    this.#last = last;
  }

  push({ topic, payload }: MqttMessage, retain: boolean): void {
    this.#last += 1;
    this.#fresh.push({ id: this.#last, topic, payload, retain: Number(retain) });
    this.#schedule();
  }

  /** There is a connection again. The client itself repeats what it had under way. */
  pump(): void {
    const { client, store } = this.#parts;
    while (client.connected && this.#underWay < mostUnderWay) {
      const rows = store.mqttOutgoing.listAfter(this.#sentUpTo, mostUnderWay - this.#underWay);
      if (rows.length === 0) return;
      for (const row of rows) this.#send(row);
    }
  }

  /** Brings to disk what is not there yet. */
  flush(): void {
    this.#scheduled = false;
    const [fresh, done] = [this.#fresh, this.#done];
    this.#fresh = [];
    this.#done = [];
    const { store, log } = this.#parts;
    try {
      store.transaction(() => {
        for (const id of done) store.mqttOutgoing.remove(id);
        for (const row of fresh) store.mqttOutgoing.put(row);
        this.#kept += fresh.length - done.length;
        this.#dropOldest();
      });
    } catch (error) {
      log.error("cannot store messages for the external MQTT broker: those it cannot get now are lost", {
        messages: fresh.length,
        error: describeError(error),
      });
      for (const row of fresh) if (this.#parts.client.connected) this.#send(row);
      return;
    }
    this.pump();
  }

  #send({ id, topic, payload, retain }: OutgoingRow): void {
    this.#sentUpTo = id;
    this.#underWay += 1;
    const { client, log } = this.#parts;
    client.publish(topic, Buffer.from(payload), { qos: 1, retain: retain !== 0 }, (error) => {
      this.#underWay -= 1;
      if (error)
        log.debug("external MQTT broker did not take a message", { topic, error: describeError(error) });
      else this.#done.push(id);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }

  #dropOldest(): void {
    const over = this.#kept - mostKept - this.#underWay;
    if (over <= 0) {
      this.#dropping = false;
      return;
    }
    const { store, log } = this.#parts;
    const oldest = store.mqttOutgoing.listAfter(this.#sentUpTo, over);
    for (const { id } of oldest) store.mqttOutgoing.remove(id);
    this.#kept -= oldest.length;
    if (!this.#dropping)
      log.warn("dropping the oldest messages for the external MQTT broker: it is away too long", {
        kept: mostKept,
      });
    this.#dropping = true;
  }
}
