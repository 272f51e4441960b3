import type { RateLimitedLog } from "#shared/log";
import type { Access } from "#edge/mqtt/access";
import {
  encodeAck,
  encodeSuback,
  type QoS,
  type Subscribe,
  type Subscription,
  type Unsubscribe,
} from "#edge/mqtt/packet";
import { subscriptionWeight, type Sessions } from "#edge/mqtt/sessions";
import type { BrokerClient } from "#edge/mqtt/connection";
import type { FanOut } from "./fan-out.ts";
import { inOrder } from "./in-order.ts";
import type { RetainedSender } from "./retained-sender.ts";

export interface SubscribingParts {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly fanOut: FanOut;
  readonly retained: RetainedSender;
  readonly log: Pick<RateLimitedLog, "warn">;
  readonly mostLevels: number;
}

/** Return code of a refused filter (MQTT 3.1.1 section 3.9.3). */
const refused = 0x80;
/**
 * Subscriptions of a client, and bytes of memory they take (see `subscriptionWeight`): matching a topic against 10,000 filters that
 * all cover it takes a few milliseconds.
 */
const mostFilters = 10_000;
const mostWeight = 8 * 1024 * 1024;
/** Bytes of all connections and sessions together; a connected persistent session counts twice. */
const mostTotalWeight = 32 * 1024 * 1024;
/** Beyond that, for clients with few subscriptions (`mostSmallWeight` bytes): they work while others use up the rest. */
const reservedWeight = 16 * 1024 * 1024;
const mostSmallWeight = 64 * 1024;

interface SubscribeResult {
  readonly granted: Map<string, QoS>;
  /** weight of the new filters */
  weight: number;
  /** one for each filter of the packet: aedes would leave out repeated ones */
  readonly codes: number[];
}

/**
 * Handles SUBSCRIBE and UNSUBSCRIBE (MQTT 3.1.1 sections 3.8 and 3.10). A subscription is in effect at once, for all that
 * follows, also for a connection that takes over the session; for a persistent session it is stored before it is
 * acknowledged.
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
      client.emit("error", new Error(`too many levels in filter ${JSON.stringify(deep.slice(0, 200))}`));
      return;
    }
    if (packet.cmd === "subscribe") this.#subscribe(client, packet);
    else this.#unsubscribe(client, packet);
  }

  #subscribe(client: BrokerClient, { messageId = 0, subscriptions }: Subscribe): void {
    const { sessions, fanOut, retained } = this.#parts;
    const { subscriber } = client;
    if (!subscriber) return;
    const { granted, codes } = this.#decide(client, subscriptions);
    const stored = client.clean ? undefined : sessions.subscribe(client.id ?? "", granted);
    const added = [...granted].map(([topic, qos]) => ({ topic, qos }));
    fanOut.subscribe(subscriber, added);
    acknowledgeInOrder(client, stored, () => {
      client.outbound.send(encodeSuback(messageId, codes));
      client.sendQueued?.();
      retained.send(client, added);
    });
  }

  #unsubscribe(client: BrokerClient, { messageId = 0, unsubscriptions }: Unsubscribe): void {
    const { sessions, fanOut } = this.#parts;
    if (client.subscriber) fanOut.unsubscribe(client.subscriber, unsubscriptions);
    const stored = client.clean ? undefined : sessions.unsubscribe(client.id ?? "", unsubscriptions);
    acknowledgeInOrder(client, stored, () => {
      // Messages published before the UNSUBSCRIBE are still delivered (section 3.10.4).
      client.sendQueued?.();
      client.outbound.send(encodeAck("unsuback", messageId));
    });
  }

  #decide(client: BrokerClient, subscriptions: readonly Subscription[]): SubscribeResult {
    const result: SubscribeResult = { granted: new Map(), weight: 0, codes: [] };
    for (const { topic, qos } of subscriptions) {
      const problem = this.#problem(client, topic, result);
      result.codes.push(problem === undefined ? qos : refused);
      if (problem === undefined) this.#grant(client, { topic, qos }, result);
      else this.#logRefused(client, topic, problem);
    }
    return result;
  }

  #logRefused({ identity, id }: BrokerClient, topic: string, problem: string): void {
    const fields = {
      client: identity?.clientId,
      user: identity?.user,
      topic: topic.slice(0, 200),
      what: problem,
    };
    this.#parts.log.warn("denied an MQTT client access to a topic", fields, id ?? "");
  }

  #grant({ subscriber }: BrokerClient, { topic, qos }: Subscription, result: SubscribeResult): void {
    const { fanOut } = this.#parts;
    const isNew = !result.granted.has(topic) && !(subscriber && fanOut.hasFilter(subscriber, topic));
    if (isNew) result.weight += subscriptionWeight(topic);
    result.granted.set(topic, qos);
  }

  /** @returns what is refused for the log, undefined when nothing is */
  #problem(
    { subscriber, identity, clean }: BrokerClient,
    topic: string,
    result: SubscribeResult,
  ): string | undefined {
    const { access, fanOut, sessions } = this.#parts;
    if (!subscriber || !identity || !access.maySubscribe(identity, topic)) return "subscribe";
    if (result.granted.has(topic) || fanOut.hasFilter(subscriber, topic)) return undefined;
    const load = fanOut.loadOf(subscriber);
    const more = result.weight + subscriptionWeight(topic);
    if (load.filters + result.granted.size >= mostFilters) return `more than ${mostFilters} subscriptions`;
    if (load.weight + more > mostWeight) return "subscriptions that need too much memory";
    const isSmall = load.weight + more <= mostSmallWeight;
    const total = fanOut.weight + sessions.weight + more * (clean ? 1 : 2);
    return total <= mostTotalWeight + (isSmall ? reservedWeight : 0)
      ? undefined
      : "subscriptions beyond the limit of all clients";
  }
}

/** Acknowledges a packet of a client that is still connected; `stored` is undefined if there is nothing to wait for. */
function acknowledgeInOrder(
  client: BrokerClient,
  stored: Promise<void> | undefined,
  acknowledge: () => void,
): void {
  const finish = (): void => {
    if (!client.conn.destroyed) acknowledge();
  };
  inOrder(client, stored, { finish });
}

function isShallow(filter: string, mostLevels: number): boolean {
  return filter.length < mostLevels || filter.split("/").length <= mostLevels;
}
