import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { MqttMessage } from "#shared/message";
import type { BrokerPacket, Sessions } from "#edge/mqttsessions";
import type { Access } from "./access.ts";
import { writeGathered, type InnerClient } from "./connection.ts";
import { encodePuback } from "./encode.ts";
import type { FanOut, Traffic } from "./fan-out.ts";

export interface PublishingParts {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly fanOut: FanOut;
  readonly traffic: Traffic;
  readonly log: Logger;
  /** A client published; resolves when it is safe. @returns undefined when nobody of ours listens */
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
  readonly mostLevels: number;
}

/** What aedes asks of the emitter its packets go through. */
interface Emitter {
  on(topic: string, hear: unknown, done?: () => void): void;
  removeListener(topic: string, hear: unknown, done?: () => void): void;
  emit(packet: BrokerPacket, done?: () => void): void;
  close(done?: () => void): void;
}

type Done = (error?: Error | null) => void;

/**
 * The way of a publication: the twins, and sessions that are away, have it on disk; then all who listen get it; then it
 * is acknowledged. QoS 0 promises nothing and is not held up.
 */
export class Publishing {
  readonly #parts: PublishingParts;
  #counter = 0;

  constructor(parts: PublishingParts) {
    this.#parts = parts;
  }

  /**
   * A publication of QoS 0 or 1 by a client.
   * @returns false when it is aedes' to take (QoS 2) or to refuse
   */
  take(client: InnerClient, packet: BrokerPacket): boolean {
    const { access, mostLevels } = this.#parts;
    const topic = packet.topic ?? "";
    if (packet.qos === 2 || !client.who || !isTopic(topic, mostLevels)) return false;
    if (!access.mayPublish(client.who, topic)) return false;
    this.#count(packet);
    if (packet.qos === 0) this.#publish0(packet);
    else this.#publish1(client, packet);
    return true;
  }

  /** What aedes publishes itself: QoS 2, and wills. It stores the rest. */
  accept(packet: BrokerPacket, client: InnerClient | undefined, done: Done): void {
    const { sessions } = this.#parts;
    const repeated = client && packet.qos === 2 && sessions.hasIncoming(client.id ?? "", packet.messageId);
    if (repeated) return done();
    this.#count(packet);
    const taken = this.#receive(packet);
    if (!taken && !client?.tail) return done();
    void settle(Promise.all([client?.tail, taken]), done);
  }

  /** A message of edgecore (`ours`), or of a client that is gone. */
  say(packet: BrokerPacket, { ours }: { readonly ours: boolean }): void {
    const named = this.#name(packet);
    const { sessions, fanOut } = this.#parts;
    if (!ours) void this.#inBackground(this.#receive(named), named);
    const stored = this.#inBackground(sessions.store(named), named);
    if (packet.qos === 0 || !stored) fanOut.deliver(named);
    else void stored.then(() => fanOut.deliver(named));
  }

  /** The emitter aedes is given: what it emits goes to the fan-out, which knows all who listen. */
  emitter(): Emitter {
    return {
      on: (_topic, _hear, done) => done?.(),
      removeListener: (_topic, _hear, done) => done?.(),
      emit: (packet, done) => {
        this.#parts.fanOut.deliver(packet);
        done?.();
      },
      close: (done) => done?.(),
    };
  }

  #publish0(packet: BrokerPacket): void {
    const { sessions, fanOut } = this.#parts;
    void this.#inBackground(this.#receive(packet), packet);
    void this.#inBackground(sessions.store(packet), packet);
    fanOut.deliver(packet);
  }

  #publish1(client: InnerClient, packet: BrokerPacket): void {
    const named = this.#name(packet);
    const waits = [client.tail, this.#receive(named), this.#parts.sessions.store(named)].filter(
      (wait) => wait !== undefined,
    );
    const finish = (): void => {
      this.#parts.fanOut.deliver(named);
      if (!client.conn.destroyed) writeGathered(client.conn, encodePuback(packet.messageId ?? 0));
    };
    if (waits.length === 0) return finish();
    // Counted as aedes does, which reads on when what it has read is dealt with.
    client._parsingBatch += 1;
    const tail = settle(Promise.all(waits), (error) => {
      if (client.tail === tail) client.tail = undefined;
      if (!error) finish();
      client._nextBatch(error);
    });
    client.tail = tail;
  }

  #receive({ topic = "", payload = "" }: BrokerPacket): Promise<void> | undefined {
    return this.#parts.receive({
      topic,
      payload: typeof payload === "string" ? Buffer.from(payload) : payload,
    });
  }

  /** @returns when it is done or has failed, undefined when there is nothing to do */
  #inBackground(work: Promise<void> | undefined, { topic }: BrokerPacket): Promise<void> | undefined {
    return work?.catch((error: unknown) =>
      this.#parts.log.warn("cannot store an MQTT message", { topic, error: describeError(error) }),
    );
  }

  /** An identity of its own, under which queues find it again. */
  #name(packet: BrokerPacket): BrokerPacket {
    this.#counter += 1;
    return { ...packet, brokerId: "own", brokerCounter: this.#counter };
  }

  #count({ payload = "" }: BrokerPacket): void {
    this.#parts.traffic.received += 1;
    this.#parts.traffic.receivedBytes += payload.length;
  }
}

function isTopic(topic: string, mostLevels: number): boolean {
  if (topic === "" || topic.includes("+") || topic.includes("#")) return false;
  return topic.length < mostLevels || topic.split("/").length <= mostLevels;
}

async function settle(work: Promise<unknown>, done: Done): Promise<void> {
  try {
    await work;
  } catch (error) {
    done(new Error(describeError(error)));
    return;
  }
  done();
}
