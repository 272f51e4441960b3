import type { Seldom } from "#shared/log";
import type { Access } from "#edge/mqtt/access";
import {
  encodeAck,
  encodeSuback,
  type QoS,
  type Subscribe,
  type Subscription,
  type Unsubscribe,
} from "#edge/mqtt/packet";
import { weightOf, type Sessions } from "#edge/mqtt/sessions";
import type { BrokerClient } from "#edge/mqtt/connection";
import type { FanOut } from "./fan-out.ts";
import { inOrder } from "./in-order.ts";
import type { RetainedSender } from "./retained-sender.ts";

export interface SubscribingParts {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly fanOut: FanOut;
  readonly retained: RetainedSender;
  readonly log: Pick<Seldom, "warn">;
  readonly mostLevels: number;
}

/** The return code of a filter that is refused. */
const refused = 0x80;
/** A client must not fill the memory, nor make each publish look at more filters than that takes a few ms for. */
const mostFilters = 10_000;
const mostWeight = 8 * 1024 * 1024;
/** of all connections and lasting sessions; who has both counts twice */
const mostWeightInAll = 32 * 1024 * 1024;
/** Beyond it, for who has few subscriptions: others may hold all the rest. */
const reservedWeight = 16 * 1024 * 1024;
const mostSmallWeight = 64 * 1024;

interface Answered {
  readonly granted: Map<string, QoS>;
  /** of those that are new */
  weight: number;
  /** one for each filter as it came: aedes would leave out those that come twice */
  readonly codes: number[];
}

/**
 * What clients ask to get, and no longer to get. It holds for all that comes behind it, at once in memory; what asks
 * later, from a connection that has taken over, finds it there. Where the session lasts it is stored before it is answered.
 */
export class Subscribing {
  readonly #parts: SubscribingParts;

  constructor(parts: SubscribingParts) {
    this.#parts = parts;
  }

  take(client: BrokerClient, packet: Subscribe | Unsubscribe): void {
    const filters =
      packet.cmd === "subscribe" ? packet.subscriptions.map(({ topic }) => topic) : packet.unsubscriptions;
    const deep = filters.find((filter) => !isShallow(filter, this.#parts.mostLevels));
    if (deep !== undefined) {
      client.emit("error", new Error(`too many levels: ${JSON.stringify(deep.slice(0, 200))}`));
      return;
    }
    if (packet.cmd === "subscribe") this.#subscribe(client, packet);
    else this.#unsubscribe(client, packet);
  }

  #subscribe(client: BrokerClient, { messageId = 0, subscriptions }: Subscribe): void {
    const { sessions, fanOut, retained } = this.#parts;
    const { subscriber } = client;
    if (!subscriber) return;
    const { granted, codes } = this.#answer(client, subscriptions);
    const stored = client.clean ? undefined : sessions.subscribe(client.id ?? "", granted);
    const joined = [...granted].map(([topic, qos]) => ({ topic, qos }));
    fanOut.join(subscriber, joined);
    answerInOrder(client, stored, () => {
      client.outbound.send(encodeSuback(messageId, codes));
      client.sendQueued?.();
      retained.send(client, joined);
    });
  }

  #unsubscribe(client: BrokerClient, { messageId = 0, unsubscriptions }: Unsubscribe): void {
    const { sessions, fanOut } = this.#parts;
    if (client.subscriber) fanOut.leave(client.subscriber, unsubscriptions);
    const stored = client.clean ? undefined : sessions.unsubscribe(client.id ?? "", unsubscriptions);
    answerInOrder(client, stored, () => {
      // Of what it had a right to when it was published.
      client.sendQueued?.();
      client.outbound.send(encodeAck("unsuback", messageId));
    });
  }

  #answer(client: BrokerClient, subscriptions: readonly Subscription[]): Answered {
    const answered: Answered = { granted: new Map(), weight: 0, codes: [] };
    for (const { topic, qos } of subscriptions) {
      const problem = this.#problem(client, topic, answered);
      answered.codes.push(problem === undefined ? qos : refused);
      if (problem === undefined) this.#grant(client, { topic, qos }, answered);
      else this.#tell(client, topic, problem);
    }
    return answered;
  }

  #tell({ identity, id }: BrokerClient, topic: string, problem: string): void {
    const fields = {
      client: identity?.clientId,
      user: identity?.user,
      topic: topic.slice(0, 200),
      what: problem,
    };
    this.#parts.log.warn("refused an MQTT client a topic", fields, id ?? "");
  }

  #grant({ subscriber }: BrokerClient, { topic, qos }: Subscription, answered: Answered): void {
    const { fanOut } = this.#parts;
    const isNew = !answered.granted.has(topic) && !(subscriber && fanOut.wants(subscriber, topic));
    if (isNew) answered.weight += weightOf(topic);
    answered.granted.set(topic, qos);
  }

  /** @returns what is refused, undefined when nothing is */
  #problem(
    { subscriber, identity, clean }: BrokerClient,
    topic: string,
    answered: Answered,
  ): string | undefined {
    const { access, fanOut, sessions } = this.#parts;
    if (!subscriber || !identity || !access.maySubscribe(identity, topic)) return "subscribe";
    if (answered.granted.has(topic) || fanOut.wants(subscriber, topic)) return undefined;
    const load = fanOut.loadOf(subscriber);
    const more = answered.weight + weightOf(topic);
    if (load.filters + answered.granted.size >= mostFilters) return `more than ${mostFilters} subscriptions`;
    if (load.weight + more > mostWeight) return "subscriptions that need too much memory";
    const isSmall = load.weight + more <= mostSmallWeight;
    const inAll = fanOut.weight + sessions.weight + more * (clean ? 1 : 2);
    return inAll <= mostWeightInAll + (isSmall ? reservedWeight : 0)
      ? undefined
      : "more subscriptions than all clients together may have";
  }
}

/** Who is gone meanwhile gets no answer. `stored` undefined: there is nothing to wait for. */
function answerInOrder(client: BrokerClient, stored: Promise<void> | undefined, answer: () => void): void {
  const finish = (): void => {
    if (!client.conn.destroyed) answer();
  };
  inOrder(client, stored, { finish });
}

function isShallow(filter: string, mostLevels: number): boolean {
  return filter.length < mostLevels || filter.split("/").length <= mostLevels;
}
