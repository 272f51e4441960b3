import { describeError } from "#shared/errors";
import type { Seldom } from "#shared/log";
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
  readonly log: Pick<Seldom, "warn">;
  /** A client published; resolves when it is safe. @returns undefined when nobody of ours listens */
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
  readonly mostLevels: number;
}

/**
 * Messages of QoS 2 a client has sent and not released: each is a row on disk. Clients that send without waiting have a few
 * thousand on their way; one that never releases would have as many as there are ids, in each session it can think of.
 */
const mostUnreleased = 10_000;

/**
 * The way of every publication: the twins, and sessions that are away, have it on disk; then all who listen get it; then
 * it is answered, in the order it came. What cannot be stored is not answered: the connection ends, and the client, which
 * has it still, sends it again. QoS 0 promises nothing and is not held up.
 */
export class Publishing {
  readonly #parts: PublishingParts;
  #counter = 0;

  constructor(parts: PublishingParts) {
    this.#parts = parts;
  }

  /** What a client publishes, or releases (QoS 2). */
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

  /** A message of edgecore (`ours`), or of a client that is gone: nobody is paused for it. */
  publish(packet: BrokerPacket, { ours }: { readonly ours: boolean }): void {
    const { sessions, fanOut } = this.#parts;
    const named = this.#name(packet);
    if (!ours) void this.#inBackground(this.#receive(named), named);
    const stored = sessions.store(named);
    if (!stored) return fanOut.deliver(named);
    const tell = (): void => {
      stored.release();
      fanOut.deliver(named);
    };
    if (packet.qos === 0) {
      void this.#inBackground(stored.committed, named);
      return tell();
    }
    // Who listens now is told, whatever the disk says.
    void this.#inBackground(stored.committed, named)?.then(tell);
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
      answer(client, "puback", packet.messageId);
    };
    const work = received || stored ? Promise.all([received, stored?.committed]) : undefined;
    inOrder(client, work, { finish, giveUp: () => stored?.discard() });
  }

  /** That it came is on disk with what it leaves behind, in one commit, after the twins have it. */
  #publish2(client: BrokerClient, packet: Publish): void {
    const { sessions, fanOut } = this.#parts;
    const messageId = packet.messageId ?? 0;
    const inbox = inboxOf(client, sessions);
    const finish = (): void => answer(client, "pubrec", messageId);
    const repeated = inbox.taken.has(messageId) ? Promise.resolve(true) : inbox.arriving.get(messageId);
    if (repeated) return inOrder(client, repeated.then(expectTaken), { finish });
    if (inbox.taken.size + inbox.arriving.size >= mostUnreleased) {
      client.emit("error", new Error(`more than ${mostUnreleased} messages of QoS 2 that were not released`));
      return;
    }
    const named = this.#name(packet);
    const received = this.#receive(named);
    const work = (async (): Promise<void> => {
      await afterEarlier(client, received);
      const stored = sessions.store(
        named,
        client.clean ? undefined : { client: client.id ?? "", messageId, inbox },
      );
      await committed(stored);
      if (client.clean) inbox.taken.set(messageId, 0);
      fanOut.deliver(named, client.publisher);
    })();
    this.#noteArriving(inbox, messageId, work);
    inOrder(client, work, { finish });
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
    const finish = (): void => answer(client, "pubcomp", messageId);
    const before = client.tail;
    const work = (async (): Promise<void> => {
      // Its message may still be on its way.
      if (before) await before;
      if (client.clean) client.inbox?.taken.delete(messageId);
      else await sessions.releaseIncoming(client.id ?? "", messageId);
    })();
    if (client.clean && !before) return finish();
    inOrder(client, work, { finish });
  }

  #problem(client: BrokerClient, { topic = "", qos, messageId = 0 }: Publish): string | undefined {
    if (!isTopic(topic, this.#parts.mostLevels)) return `${JSON.stringify(topic.slice(0, 200))} is no topic`;
    if (qos > 0 && messageId === 0) return "message without an id";
    return this.#mayPublish(client, topic) ? undefined : `topic ${topic} is not allowed`;
  }

  #mayPublish({ identity, id }: BrokerClient, topic: string): boolean {
    const { access, log } = this.#parts;
    if (identity && access.mayPublish(identity, topic)) return true;
    const fields = { client: identity?.clientId, user: identity?.user, topic, what: "publish" };
    log.warn("refused an MQTT client a topic", fields, id ?? "");
    return false;
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
  #name<P extends BrokerPacket>(packet: P): P {
    this.#counter += 1;
    return { ...packet, brokerId: "own", brokerCounter: this.#counter };
  }
}

/** @throws what the commit failed with, after nothing of it is left */
async function committed(stored: StoredPublication | undefined): Promise<void> {
  try {
    await stored?.committed;
  } catch (error) {
    stored?.discard();
    throw error;
  }
  stored?.release();
}

function expectTaken(taken: boolean): void {
  if (!taken) throw new Error("the message it repeats could not be taken");
}

function answer({ outbound }: BrokerClient, kind: AckKind, messageId = 0): void {
  outbound.send(encodeAck(kind, messageId));
}

function isTopic(topic: string, mostLevels: number): boolean {
  if (topic === "" || topic.includes("+") || topic.includes("#")) return false;
  return topic.length < mostLevels || topic.split("/").length <= mostLevels;
}
