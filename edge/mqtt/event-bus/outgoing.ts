import type { MqttClient } from "mqtt";
import { onNextTurn, type Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger, Seldom } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import type { OutgoingRow, Store } from "#edge/store";
import { rowBytes, ExternalOutgoingQueue } from "./outgoing-queue.ts";

export interface ExternalOutgoingParts {
  readonly store: Pick<Store, "mqttOutgoing" | "transaction">;
  readonly client: Pick<MqttClient, "publish" | "getLastMessageId" | "removeOutgoingMessage">;
  readonly clock: Pick<Clock, "after">;
  readonly log: Logger;
  readonly seldom: Pick<Seldom, "warn">;
}

interface UnderWay {
  readonly row: OutgoingRow;
  /** The client's. */
  messageId: number;
}

/** Messages the broker has not acknowledged yet, at a time. */
const mostUnderWay = 256;
const mostBytesUnderWay = 4_000_000;
const page = 32;
const commitAgainMs = 1000;
/** A broker that ends the connection over the same message so often will never have it. */
const mostCuts = 5;

/**
 * What edgecore says to the external broker, on disk until the broker acknowledged it (QoS 1) and in order: a broker
 * that is away, and edgecore ending meanwhile, lose nothing. Writes of one turn of the event loop share a commit.
 *
 * The client forgets what was under way when its connection ends and calls nobody back. So each connection begins with
 * the oldest row, and after one that the broker ended amid messages with a window of one that grows with each acknowledgement:
 * a message the broker ends the connection over is found, and given up, without its neighbours.
 */
export class ExternalOutgoing {
  readonly #parts: ExternalOutgoingParts;
  readonly #queue: ExternalOutgoingQueue;
  readonly #underWay = new Map<number, UnderWay>();
  #bytesUnderWay = 0;
  #window = mostUnderWay;
  /** Counts connections: what an earlier one says of a failure is of no interest. */
  #generation = 0;
  #up = false;
  /** Rows up to here were given to the client. */
  #sentUpTo = 0;
  #suspect = { id: 0, cuts: 0 };
  #scheduled = false;
  #again: Disposable | undefined;
  #ended = false;

  constructor(parts: ExternalOutgoingParts) {
    this.#parts = parts;
    this.#queue = new ExternalOutgoingQueue(parts);
  }

  push(message: MqttMessage, retain: boolean): void {
    this.#queue.add(message, retain);
    this.#schedule();
  }

  connected(): void {
    this.#up = true;
    this.#pump();
  }

  /** The connection ended: nothing is under way. `byBroker`: it may have been for a message. */
  closed({ byBroker }: { readonly byBroker: boolean }): void {
    const wasUp = this.#up;
    const lost = [...this.#underWay.values()];
    this.#up = false;
    this.#generation += 1;
    this.#underWay.clear();
    this.#bytesUnderWay = 0;
    this.#sentUpTo = 0;
    // Else the client waits for their acknowledgements when it ends.
    for (const { messageId } of lost) this.#parts.client.removeOutgoingMessage(messageId);
    const oldest = lost[0]?.row;
    if (!wasUp || !oldest || !byBroker) return;
    this.#window = 1;
    this.#suspectOf(oldest);
  }

  /** Sends nothing more; what is acknowledged still counts. */
  stop(): void {
    this.#up = false;
  }

  /** Brings to disk what is not there yet, for the last time. */
  end(): void {
    this.stop();
    this.#ended = true;
    this.#again?.[Symbol.dispose]();
    this.#again = undefined;
    this.#commit();
    if (this.#queue.unstored > 0)
      this.#parts.log.error("messages for the external MQTT broker are lost: they could not be stored", {
        messages: this.#queue.unstored,
      });
  }

  #suspectOf(row: OutgoingRow): void {
    const cuts = this.#suspect.id === row.id ? this.#suspect.cuts + 1 : 1;
    this.#suspect = { id: row.id, cuts };
    if (cuts < mostCuts) return;
    this.#parts.log.error("dropped a message: the external MQTT broker ends the connection over it", {
      topic: row.topic,
      bytes: row.payload.length,
      tries: cuts,
    });
    this.#queue.finish(row);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#ended) return;
    this.#scheduled = true;
    onNextTurn(() => {
      this.#scheduled = false;
      if (this.#ended) return;
      if (!this.#again) this.#commit();
      this.#pump();
    });
  }

  #commit(): void {
    try {
      this.#queue.commit(this.#sentUpTo);
    } catch (error) {
      this.#later("cannot store messages for the external MQTT broker, trying again", error);
    }
  }

  /** While the disk takes nothing, what is on it is sent all the same. */
  #later(problem: string, error: unknown): void {
    this.#parts.seldom.warn(problem, { unstored: this.#queue.unstored, error: describeError(error) });
    if (this.#ended) return;
    this.#again ??= this.#parts.clock.after(commitAgainMs, () => {
      this.#again = undefined;
      this.#schedule();
    });
  }

  #pump(): void {
    try {
      while (this.#hasRoom() && this.#sendPage());
    } catch (error) {
      this.#later("cannot read messages for the external MQTT broker, trying again", error);
    }
  }

  /** @returns whether there was anything to send */
  #sendPage(): boolean {
    const room = Math.min(page, this.#window - this.#underWay.size);
    const rows = this.#queue.listAfter(this.#sentUpTo, room);
    for (const row of rows) if (this.#hasRoom()) this.#send(row);
    return rows.length > 0;
  }

  #hasRoom(): boolean {
    return this.#up && this.#underWay.size < this.#window && this.#bytesUnderWay < mostBytesUnderWay;
  }

  #send(row: OutgoingRow): void {
    const { id, topic, payload, retain } = row;
    this.#sentUpTo = id;
    if (this.#queue.isFinished(id) || this.#underWay.has(id)) return;
    const { client } = this.#parts;
    const generation = this.#generation;
    const options = { qos: 1, retain: retain !== 0 } as const;
    const entry: UnderWay = { row, messageId: 0 };
    this.#underWay.set(id, entry);
    this.#bytesUnderWay += rowBytes(row);
    client.publish(topic, Buffer.from(payload), options, (error) => {
      if (error) this.#failed(row, generation, error);
      else this.#acknowledged(row, generation);
    });
    entry.messageId = client.getLastMessageId();
  }

  #acknowledged(row: OutgoingRow, generation: number): void {
    if (generation === this.#generation) {
      this.#leave(row);
      this.#window = Math.min(mostUnderWay, this.#window + 1);
    }
    this.#queue.finish(row);
    this.#schedule();
  }

  /** The client did not take it, on a connection that goes on: it goes again, after a while. */
  #failed(row: OutgoingRow, generation: number, error: unknown): void {
    if (generation !== this.#generation) return;
    this.#leave(row);
    this.#sentUpTo = Math.min(this.#sentUpTo, row.id - 1);
    this.#later("external MQTT broker did not take a message, trying again", error);
  }

  #leave(row: OutgoingRow): void {
    if (this.#underWay.delete(row.id)) this.#bytesUnderWay -= rowBytes(row);
  }
}
