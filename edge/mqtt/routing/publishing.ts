import { describeError } from "#shared/errors";
import type { RateLimitedLog } from "#shared/log";
import type { MqttMessage } from "#shared/topics";
import {
  encodeAck,
  isTopicName,
  reasons,
  type AckKind,
  type BrokerPacket,
  type Publish,
  type PublishRelease,
} from "#edge/mqtt/packet";
import type { Sessions, StoredPublication } from "#edge/mqtt/sessions";
import type { Inbox } from "#edge/mqtt/stored";
import type { Access } from "#edge/mqtt/access";
import { inboxOf, type BrokerClient } from "#edge/mqtt/connection";
import type { FanOut, Traffic } from "./fan-out.ts";
import { afterEarlier, inOrder } from "./in-order.ts";
import type { SharedTarget } from "./shared-subscriptions.ts";

export interface PublishingParts {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly fanOut: FanOut;
  readonly traffic: Traffic;
  readonly log: Pick<RateLimitedLog, "warn">;
  /** @returns when edgecore has stored the message, undefined when no module subscribed to its topic */
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
  readonly mostLevels: number;
  /** messages of QoS 1 and 2 that a client of MQTT 5 may have unacknowledged */
  readonly receiveMaximum: number;
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
    if (packet.cmd === "pubrel") return this.#release(client, packet.messageId);
    if (!isTopicName(packet.topic) || !isShallow(packet.topic, this.#parts.mostLevels)) {
      client.fail(`invalid topic ${JSON.stringify(packet.topic.slice(0, 200))}`, reasons.protocolError);
      return;
    }
    if (!this.#mayPublish(client, packet.topic)) return this.#refuse(client, packet);
    const { traffic } = this.#parts;
    traffic.received += 1;
    traffic.receivedBytes += packet.payload.length;
    if (packet.qos === 0) this.#publish0(client, packet);
    else if (packet.qos === 1) this.#publish1(client, packet);
    else this.#publish2(client, packet);
  }

  /** Publishes a message of edgecore (`ours`) or a will: no client is paused for it. */
  publish(packet: BrokerPacket, { ours }: { readonly ours: boolean }): void {
    const { sessions, fanOut } = this.#parts;
    const named = this.#name(packet);
    if (!ours) void this.#inBackground(this.#receive(named), named);
    const shared = this.#shared(named);
    const stored = sessions.store(named, { shared });
    if (!stored) return void fanOut.deliver(named, { shared });
    const deliver = (): void => {
      stored.release();
      fanOut.deliver(named, { shared });
    };
    if (packet.qos === 0) {
      void this.#inBackground(stored.committed, named);
      return deliver();
    }
    // Connected subscribers get it even when it cannot be stored.
    void this.#inBackground(stored.committed, named)?.then(deliver);
  }

  #shared({ topic = "", qos }: BrokerPacket): readonly SharedTarget[] {
    return this.#parts.fanOut.shared.choose(topic, qos);
  }

  #publish0(client: BrokerClient, packet: Publish): void {
    const { sessions, fanOut } = this.#parts;
    const named = client.version === 5 ? this.#name(packet, client.id) : packet;
    const shared = this.#shared(named);
    void this.#inBackground(this.#receive(named), named);
    void this.#inBackground(sessions.store(named)?.committed, named);
    fanOut.deliver(named, { publisher: client.publisher, shared });
  }

  #publish1(client: BrokerClient, packet: Publish): void {
    if (this.#isBeyond(client)) return;
    const { messageId = 0 } = packet;
    const named = this.#name(packet, client.id);
    const shared = this.#shared(named);
    const received = this.#receive(named);
    const stored = this.#parts.sessions.store(named, { shared });
    const finish = (): void => {
      stored?.release();
      const isMatched = this.#parts.fanOut.deliver(named, { publisher: client.publisher, shared });
      const isForNobody = !isMatched && received === undefined && (stored?.sessions ?? 0) === 0;
      const reason = isForNobody ? reasons.noMatchingSubscribers : reasons.success;
      acknowledge(client, "puback", { messageId, reason });
    };
    if (!received && !stored) return inOrder(client, undefined, { finish });
    client.unanswered += 1;
    inOrder(client, Promise.all([received, stored?.committed]), {
      finish: () => {
        client.unanswered -= 1;
        finish();
      },
      giveUp: () => stored?.discard(),
    });
  }

  /** Its id is stored in one commit with its queue entries, after the twins have it: a repetition changes nothing. */
  #publish2(client: BrokerClient, packet: Publish): void {
    const { messageId = 0 } = packet;
    const inbox = inboxOf(client, this.#parts.sessions);
    const finish = (): void => acknowledge(client, "pubrec", { messageId });
    if (!client.uncompleted.has(messageId) && this.#isBeyond(client)) return;
    client.uncompleted.add(messageId);
    const repeated = inbox.taken.has(messageId) ? Promise.resolve(true) : inbox.arriving.get(messageId);
    if (repeated) return inOrder(client, repeated.then(expectStored), { finish });
    const open = inbox.taken.size + inbox.arriving.size;
    if (open >= mostUnreleased) {
      client.fail(`more than ${mostUnreleased} unreleased messages of QoS 2`, reasons.quotaExceeded);
      return;
    }
    const work = this.#store2(client, this.#name(packet, client.id), { messageId, inbox });
    this.#noteArriving(inbox, messageId, work);
    inOrder(client, work, { finish });
  }

  /** Disconnects a client of MQTT 5 that sends more than it was told it may; each connection begins with none (section 4.9). */
  #isBeyond(client: BrokerClient): boolean {
    const { receiveMaximum } = this.#parts;
    const open = client.unanswered + client.uncompleted.size;
    if (client.version !== 5 || open < receiveMaximum) return false;
    client.fail(`more than ${receiveMaximum} unacknowledged messages`, reasons.receiveMaximum);
    return true;
  }

  /** MQTT 3 has no other answer than to close the connection. */
  #refuse(client: BrokerClient, { topic, qos, messageId = 0 }: Publish): void {
    const problem = `topic ${topic} is not allowed`;
    if (client.version !== 5) return client.fail(problem, reasons.notAuthorized);
    if (qos === 0) return;
    const reason = reasons.notAuthorized;
    const kind = qos === 1 ? "puback" : "pubrec";
    inOrder(client, undefined, { finish: () => acknowledge(client, kind, { messageId, reason }) });
  }

  async #store2(
    client: BrokerClient,
    named: Publish,
    { messageId, inbox }: { readonly messageId: number; readonly inbox: Inbox },
  ): Promise<void> {
    const { sessions, fanOut } = this.#parts;
    await afterEarlier(client, this.#receive(named));
    const sender = client.clean ? undefined : { client: client.id, messageId, inbox };
    const shared = this.#shared(named);
    await committed(sessions.store(named, { sender, shared }));
    if (client.clean) inbox.taken.set(messageId, 0);
    fanOut.deliver(named, { publisher: client.publisher, shared });
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
    // Also for an unknown id: the PUBCOMP may have been lost.
    const finish = (): void => {
      client.uncompleted.delete(messageId);
      acknowledge(client, "pubcomp", { messageId });
    };
    const earlier = client.tail;
    const work = (async (): Promise<void> => {
      // Its message may not be stored yet.
      if (earlier) await earlier;
      if (client.clean) client.inbox?.taken.delete(messageId);
      else await sessions.releaseIncoming(client.id, messageId);
    })();
    if (client.clean && !earlier) return finish();
    inOrder(client, work, { finish });
  }

  #mayPublish({ identity, id }: BrokerClient, topic: string): boolean {
    const { access, log } = this.#parts;
    if (identity && access.mayPublish(identity, topic)) return true;
    const fields = { client: identity?.clientId, user: identity?.user, topic, what: "publish" };
    log.warn("denied an MQTT client access to a topic", fields, id);
    return false;
  }

  #receive({ topic = "", payload = "", qos }: BrokerPacket): Promise<void> | undefined {
    return this.#parts.receive({
      topic,
      payload: typeof payload === "string" ? Buffer.from(payload) : payload,
      qos,
    });
  }

  /** Logs a failure. @returns when `work` is done or has failed, undefined when there is none */
  #inBackground(work: Promise<void> | undefined, { topic }: BrokerPacket): Promise<void> | undefined {
    return work?.catch((error: unknown) =>
      this.#parts.log.warn("cannot store an MQTT message", { topic, error: describeError(error) }),
    );
  }

  /** Gives a message the identity by which queues find it. */
  #name<P extends BrokerPacket & { readonly expirySeconds?: number | undefined }>(
    packet: P,
    origin?: string,
  ): P {
    this.#counter += 1;
    const { expirySeconds } = packet;
    const expiresAtMs =
      expirySeconds === undefined ? undefined : this.#parts.sessions.expiryAfter(expirySeconds);
    return { ...packet, brokerId: "own", brokerCounter: this.#counter, origin, expiresAtMs };
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

function acknowledge(
  { outbound, version }: BrokerClient,
  kind: AckKind,
  { messageId, reason = reasons.success }: { readonly messageId: number; readonly reason?: number },
): void {
  outbound.send(encodeAck(kind, messageId, version === 5 ? reason : 0));
}

function isShallow(topic: string, mostLevels: number): boolean {
  return topic.length < mostLevels || topic.split("/").length <= mostLevels;
}
