import { describeError } from "#shared/errors";
import type { RateLimitedLog } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import {
  encodeAck,
  type AckKind,
  type BrokerPacket,
  type Publish,
  type PublishRelease,
} from "#edge/mqtt/packet";
import type { Inbox, Sessions, StoredPublication } from "#edge/mqtt/sessions";
import type { Access } from "#edge/mqtt/access";
import { inboxOf, type BrokerClient } from "#edge/mqtt/connection";
import type { FanOut, Traffic } from "./fan-out.ts";
import { afterEarlier, inOrder } from "./in-order.ts";

export interface PublishingParts {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly fanOut: FanOut;
  readonly traffic: Traffic;
  readonly log: Pick<RateLimitedLog, "warn">;
  /** @returns when edgecore has stored the message, undefined when no module subscribed to its topic */
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
  readonly mostLevels: number;
}

/**
 * Messages of QoS 2 that a client has sent and not released (PUBREL), each a row on disk. Fast clients have a few thousand
 * in flight; without a limit one that never releases would have 65,535 in each session it opens.
 */
const mostUnreleased = 10_000;

/**
 * Handles every publication: first the twins and the sessions of offline clients have it on disk, then it is delivered,
 * then it is acknowledged in the order of arrival (MQTT 3.1.1 sections 4.3 and 4.6). What cannot be stored is not
 * acknowledged: the connection is closed, and the client sends it again (4.4). QoS 0 is delivered at once and may be lost.
 */
export class Publishing {
  readonly #parts: PublishingParts;
  #counter = 0;

  constructor(parts: PublishingParts) {
    this.#parts = parts;
  }

  /** Handles a PUBLISH or PUBREL of a client. */
  take(client: BrokerClient, packet: Publish | PublishRelease): void {
    if (packet.cmd === "pubrel") return this.#release(client, packet.messageId ?? 0);
    const problem = this.#problem(client, packet);
    if (problem !== undefined) {
      client.emit("error", new Error(problem));
      return;
    }
    const { traffic } = this.#parts;
    traffic.received += 1;
    traffic.receivedBytes += packet.payload?.length ?? 0;
    if (packet.qos === 0) this.#publish0(client, packet);
    else if (packet.qos === 1) this.#publish1(client, packet);
    else this.#publish2(client, packet);
  }

  /** Publishes a message of edgecore (`ours`) or a will: no client is paused for it. */
  publish(packet: BrokerPacket, { ours }: { readonly ours: boolean }): void {
    const { sessions, fanOut } = this.#parts;
    const named = this.#name(packet);
    if (!ours) void this.#inBackground(this.#receive(named), named);
    const stored = sessions.store(named);
    if (!stored) return fanOut.deliver(named);
    const deliver = (): void => {
      stored.release();
      fanOut.deliver(named);
    };
    if (packet.qos === 0) {
      void this.#inBackground(stored.committed, named);
      return deliver();
    }
    // Connected subscribers get it even when it cannot be stored.
    void this.#inBackground(stored.committed, named)?.then(deliver);
  }

  #publish0(client: BrokerClient, packet: Publish): void {
    const { sessions, fanOut } = this.#parts;
    void this.#inBackground(this.#receive(packet), packet);
    void this.#inBackground(sessions.store(packet)?.committed, packet);
    fanOut.deliver(packet, client.publisher);
  }

  #publish1(client: BrokerClient, packet: Publish): void {
    const named = this.#name(packet);
    const received = this.#receive(named);
    const stored = this.#parts.sessions.store(named);
    const finish = (): void => {
      stored?.release();
      this.#parts.fanOut.deliver(named, client.publisher);
      acknowledge(client, "puback", packet.messageId);
    };
    const work = received || stored ? Promise.all([received, stored?.committed]) : undefined;
    inOrder(client, work, { finish, giveUp: () => stored?.discard() });
  }

  /** Its id is stored in one commit with its queue entries, after the twins have it: a repetition changes nothing. */
  #publish2(client: BrokerClient, packet: Publish): void {
    const messageId = packet.messageId ?? 0;
    const inbox = inboxOf(client, this.#parts.sessions);
    const finish = (): void => acknowledge(client, "pubrec", messageId);
    const repeated = inbox.taken.has(messageId) ? Promise.resolve(true) : inbox.arriving.get(messageId);
    if (repeated) return inOrder(client, repeated.then(expectStored), { finish });
    if (inbox.taken.size + inbox.arriving.size >= mostUnreleased) {
      client.emit("error", new Error(`more than ${mostUnreleased} unreleased messages of QoS 2`));
      return;
    }
    const work = this.#store2(client, this.#name(packet), { messageId, inbox });
    this.#noteArriving(inbox, messageId, work);
    inOrder(client, work, { finish });
  }

  async #store2(
    client: BrokerClient,
    named: Publish,
    { messageId, inbox }: { readonly messageId: number; readonly inbox: Inbox },
  ): Promise<void> {
    const { sessions, fanOut } = this.#parts;
    await afterEarlier(client, this.#receive(named));
    const sender = client.clean ? undefined : { client: client.id ?? "", messageId, inbox };
    await committed(sessions.store(named, sender));
    if (client.clean) inbox.taken.set(messageId, 0);
    fanOut.deliver(named, client.publisher);
  }

  #noteArriving(inbox: Inbox, messageId: number, work: Promise<void>): void {
    const arriving = work.then(
      () => true,
      () => false,
    );
    inbox.arriving.set(messageId, arriving);
    void arriving.then(() => inbox.arriving.delete(messageId));
  }

  #release(client: BrokerClient, messageId: number): void {
    const { sessions } = this.#parts;
    const finish = (): void => acknowledge(client, "pubcomp", messageId);
    const earlier = client.tail;
    const work = (async (): Promise<void> => {
      // Its message may not be stored yet.
      if (earlier) await earlier;
      if (client.clean) client.inbox?.taken.delete(messageId);
      else await sessions.releaseIncoming(client.id ?? "", messageId);
    })();
    if (client.clean && !earlier) return finish();
    inOrder(client, work, { finish });
  }

  #problem(client: BrokerClient, { topic = "", qos, messageId = 0 }: Publish): string | undefined {
    if (!isTopic(topic, this.#parts.mostLevels))
      return `invalid topic ${JSON.stringify(topic.slice(0, 200))}`;
    if (qos > 0 && messageId === 0) return "message without a message id";
    return this.#mayPublish(client, topic) ? undefined : `topic ${topic} is not allowed`;
  }

  #mayPublish({ identity, id }: BrokerClient, topic: string): boolean {
    const { access, log } = this.#parts;
    if (identity && access.mayPublish(identity, topic)) return true;
    const fields = { client: identity?.clientId, user: identity?.user, topic, what: "publish" };
    log.warn("denied an MQTT client access to a topic", fields, id ?? "");
    return false;
  }

  #receive({ topic = "", payload = "" }: BrokerPacket): Promise<void> | undefined {
    return this.#parts.receive({
      topic,
      payload: typeof payload === "string" ? Buffer.from(payload) : payload,
    });
  }

  /** Logs a failure. @returns when `work` is done or has failed, undefined when there is none */
  #inBackground(work: Promise<void> | undefined, { topic }: BrokerPacket): Promise<void> | undefined {
    return work?.catch((error: unknown) =>
      this.#parts.log.warn("cannot store an MQTT message", { topic, error: describeError(error) }),
    );
  }

  /** Gives a message the identity by which queues find it. */
  #name<P extends BrokerPacket>(packet: P): P {
    this.#counter += 1;
    return { ...packet, brokerId: "own", brokerCounter: this.#counter };
  }
}

/** Waits for the commit. @throws what it failed with, after discarding what it was to store */
async function committed(stored: StoredPublication | undefined): Promise<void> {
  try {
    await stored?.committed;
  } catch (error) {
    stored?.discard();
    throw error;
  }
  stored?.release();
}

function expectStored(isStored: boolean): void {
  if (!isStored) throw new Error("the message that it repeats could not be stored");
}

function acknowledge({ outbound }: BrokerClient, kind: AckKind, messageId = 0): void {
  outbound.send(encodeAck(kind, messageId));
}

/** Topic names have no wildcards (MQTT 3.1.1 section 4.7.1). */
function isTopic(topic: string, mostLevels: number): boolean {
  if (topic === "" || topic.includes("+") || topic.includes("#")) return false;
  return topic.length < mostLevels || topic.split("/").length <= mostLevels;
}
