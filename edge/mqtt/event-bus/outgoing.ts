import type { MqttClient } from "mqtt";
import { onNextTurn, type Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger, RateLimitedLog } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import type { OutgoingRow, Store } from "#edge/store";
import { rowBytes, ExternalOutgoingQueue } from "./outgoing-queue.ts";

export interface ExternalOutgoingParts {
  readonly store: Pick<Store, "mqttOutgoing" | "transaction">;
  readonly client: Pick<MqttClient, "publish" | "getLastMessageId" | "removeOutgoingMessage">;
  readonly clock: Pick<Clock, "after">;
  readonly log: Logger;
  readonly seldom: Pick<RateLimitedLog, "warn">;
}

interface InFlight {
  readonly row: OutgoingRow;
  /** The message id that the client gave it. */
  messageId: number;
}

/** Unacknowledged messages, and their bytes: enough for a round trip of 50 ms at 5,000 messages a second. */
const mostInFlight = 256;
const mostBytesInFlight = 4_000_000;
/** Messages read from disk at a time. */
const page = 32;
/** When acknowledgements cannot be stored, as on a full disk. */
const retryCommitMs = 1000;
/** Reason of MQTT 5: the broker may take the message later. */
const quotaExceeded = 0x97;
/** A message over which the broker closes the connection so often in a row is dropped. */
const mostCuts = 5;

/**
 * Publishes messages of edgecore to the external broker in order, with QoS 1, and keeps them on disk until they are
 * acknowledged: nothing is lost while the broker or edgecore is down. Writes of one turn of the event loop share a commit.
 *
 * The client forgets what is in flight when its connection closes, without a callback. So each connection starts with the
 * oldest message; after one that the broker closed with messages in flight, the window starts at one and grows with each
 * acknowledgement: a message over which the broker closes the connection is found, and dropped, without its neighbors.
 */
export class ExternalOutgoing {
  readonly #parts: ExternalOutgoingParts;
  readonly #queue: ExternalOutgoingQueue;
  readonly #inFlight = new Map<number, InFlight>();
  #bytesInFlight = 0;
  #window = mostInFlight;
  #mostInFlight = mostInFlight;
  /** Counts connections, so that callbacks of earlier ones are recognized. */
  #generation = 0;
  #up = false;
  /** Id of the last message given to the client on this connection. */
  #sentUpTo = 0;
  #suspect = { id: 0, cuts: 0 };
  #scheduled = false;
  #retry: Disposable | undefined;
  #ended = false;

  constructor(parts: ExternalOutgoingParts) {
    this.#parts = parts;
    this.#queue = new ExternalOutgoingQueue(parts);
  }

  push(message: MqttMessage, retain: boolean): void {
    this.#queue.add(message, retain);
    this.#schedule();
  }

  /** @param receiveMaximum unacknowledged messages that the broker takes, if it says so */
  connected(receiveMaximum = mostInFlight): void {
    this.#up = true;
    this.#mostInFlight = Math.min(mostInFlight, receiveMaximum);
    this.#window = Math.min(this.#window, this.#mostInFlight);
    this.#pump();
  }

  /** The connection is closed; if by the broker, a message may be the cause. */
  closed({ byBroker }: { readonly byBroker: boolean }): void {
    const wasUp = this.#up;
    const lost = [...this.#inFlight.values()];
    this.#up = false;
    this.#generation += 1;
    this.#inFlight.clear();
    this.#bytesInFlight = 0;
    this.#sentUpTo = 0;
    // Otherwise the client would wait for their acknowledgements when it ends.
    for (const { messageId } of lost) this.#parts.client.removeOutgoingMessage(messageId);
    const oldest = lost[0]?.row;
    if (!wasUp || !oldest || !byBroker) return;
    this.#window = 1;
    this.#suspectMessage(oldest);
  }

  /** Stops sending; acknowledgements are still handled. */
  stop(): void {
    this.#up = false;
  }

  /** Writes what is not on disk yet, for the last time. */
  end(): void {
    this.stop();
    this.#ended = true;
    this.#retry?.[Symbol.dispose]();
    this.#retry = undefined;
    this.#commit();
    if (this.#queue.unstored > 0)
      this.#parts.log.error("lost messages for the external MQTT broker: they could not be stored", {
        messages: this.#queue.unstored,
      });
  }

  #suspectMessage(row: OutgoingRow): void {
    const cuts = this.#suspect.id === row.id ? this.#suspect.cuts + 1 : 1;
    this.#suspect = { id: row.id, cuts };
    if (cuts < mostCuts) return;
    this.#parts.log.error("dropped a message over which the external MQTT broker closes the connection", {
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
      if (!this.#retry) this.#commit();
      this.#pump();
    });
  }

  #commit(): void {
    try {
      this.#queue.commit(this.#sentUpTo);
    } catch (error) {
      this.#retryLater("cannot store messages for the external MQTT broker, retrying", error);
    }
  }

  /** While the disk is full, what is on it is sent all the same. */
  #retryLater(problem: string, error: unknown): void {
    this.#parts.seldom.warn(problem, { unstored: this.#queue.unstored, error: describeError(error) });
    if (this.#ended) return;
    this.#retry ??= this.#parts.clock.after(retryCommitMs, () => {
      this.#retry = undefined;
      this.#schedule();
    });
  }

  #pump(): void {
    try {
      while (this.#hasRoom() && this.#sendPage());
    } catch (error) {
      this.#retryLater("cannot read messages for the external MQTT broker, retrying", error);
    }
  }

  /** @returns whether there was anything to send */
  #sendPage(): boolean {
    const room = Math.min(page, this.#window - this.#inFlight.size);
    const rows = this.#queue.listAfter(this.#sentUpTo, room);
    for (const row of rows) if (this.#hasRoom()) this.#send(row);
    return rows.length > 0;
  }

  #hasRoom(): boolean {
    return this.#up && this.#inFlight.size < this.#window && this.#bytesInFlight < mostBytesInFlight;
  }

  #send(row: OutgoingRow): void {
    const { id, topic, payload, retain } = row;
    this.#sentUpTo = id;
    if (this.#queue.isFinished(id) || this.#inFlight.has(id)) return;
    const { client } = this.#parts;
    const generation = this.#generation;
    const options = { qos: 1, retain: retain !== 0 } as const;
    const entry: InFlight = { row, messageId: 0 };
    this.#inFlight.set(id, entry);
    this.#bytesInFlight += rowBytes(row);
    client.publish(topic, Buffer.from(payload), options, (error) => {
      if (error) this.#failed(row, generation, error);
      else this.#acknowledged(row, generation);
    });
    entry.messageId = client.getLastMessageId();
  }

  #acknowledged(row: OutgoingRow, generation: number): void {
    if (generation === this.#generation) {
      this.#leave(row);
      this.#window = Math.min(this.#mostInFlight, this.#window + 1);
    }
    this.#queue.finish(row);
    this.#schedule();
  }

  /** The client failed to send it although the connection is up: it is sent again after a while, unless it is refused. */
  #failed(row: OutgoingRow, generation: number, error: unknown): void {
    if (generation !== this.#generation) return;
    this.#leave(row);
    const reason = reasonOf(error);
    if (reason !== undefined && reason !== quotaExceeded) return this.#refused(row, reason);
    this.#sentUpTo = Math.min(this.#sentUpTo, row.id - 1);
    this.#retryLater("cannot publish a message to the external MQTT broker, retrying", error);
  }

  /** A broker of MQTT 5 says so; it would refuse the message again. */
  #refused(row: OutgoingRow, reason: number): void {
    const { topic } = row;
    this.#parts.seldom.warn(
      "dropped a message that the external MQTT broker refuses",
      { topic, reason },
      topic,
    );
    this.#queue.finish(row);
    this.#schedule();
  }

  #leave(row: OutgoingRow): void {
    if (this.#inFlight.delete(row.id)) this.#bytesInFlight -= rowBytes(row);
  }
}

/** The reason code of a PUBACK of MQTT 5 that refuses a message. */
function reasonOf(error: unknown): number | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : undefined;
}
