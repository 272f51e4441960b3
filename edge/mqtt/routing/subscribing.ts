import type { RateLimitedLog } from "#shared/log";
import type { Access } from "#edge/mqtt/access";
import {
  encodeSuback,
  encodeUnsuback,
  parseShared,
  reasons,
  type RequestedSubscription,
  type Subscribe,
  type Subscription,
  type Unsubscribe,
} from "#edge/mqtt/packet";
import { sessionMarker, subscriptionWeight, type Sessions } from "#edge/mqtt/sessions";
import type { BrokerClient, Subscriber } from "#edge/mqtt/connection";
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
  readonly granted: Map<string, RequestedSubscription>;
  /** those whose retained messages are sent, as asked for (MQTT 5 section 3.8.3.1) */
  readonly retained: Set<string>;
  /** weight of the new filters */
  weight: number;
  /** one for each filter of the packet: the QoS, or a reason of MQTT 5 */
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
    if (filters.includes(sessionMarker)) {
      client.fail("topic of the broker itself", reasons.notAuthorized);
      return;
    }
    if (deep !== undefined) {
      client.fail(`too many levels in filter ${JSON.stringify(deep.slice(0, 200))}`, reasons.malformed);
      return;
    }
    if (packet.cmd === "subscribe") this.#subscribe(client, packet);
    else this.#unsubscribe(client, packet);
  }

  #subscribe(client: BrokerClient, { messageId, subscriptions }: Subscribe): void {
    const { sessions, fanOut, retained } = this.#parts;
    const { subscriber } = client;
    if (!subscriber) return;
    const result = this.#decide(client, subscriptions);
    const added: readonly Subscription[] = [...result.granted.values()].map(plain);
    const stored = client.clean ? undefined : sessions.subscribe(client.id, added);
    fanOut.subscribe(subscriber, added);
    acknowledgeInOrder(client, stored, () => {
      client.answer(encodeSuback(messageId, result.codes, client.version));
      client.progressed();
      retained.send(
        client,
        added.filter(({ topic }) => result.retained.has(topic)),
      );
    });
  }

  #unsubscribe(client: BrokerClient, { messageId, unsubscriptions }: Unsubscribe): void {
    const { sessions, fanOut } = this.#parts;
    const { subscriber } = client;
    const codes = unsubscriptions.map((filter) =>
      subscriber && fanOut.hasFilter(subscriber, filter) ? reasons.success : reasons.noSubscriptionExisted,
    );
    if (subscriber) fanOut.unsubscribe(subscriber, unsubscriptions);
    const stored = client.clean ? undefined : sessions.unsubscribe(client.id, unsubscriptions);
    acknowledgeInOrder(client, stored, () => {
      // Messages published before the UNSUBSCRIBE are still delivered (section 3.10.4).
      client.progressed();
      client.answer(encodeUnsuback(messageId, codes, client.version));
    });
  }

  #decide(client: BrokerClient, subscriptions: readonly RequestedSubscription[]): SubscribeResult {
    const result: SubscribeResult = { granted: new Map(), retained: new Set(), weight: 0, codes: [] };
    for (const subscription of subscriptions) {
      const refusal = this.#problem(client, subscription.topic, result);
      result.codes.push(refusal?.reason ?? subscription.qos);
      if (!refusal) this.#grant(client, subscription, result);
      else this.#logRefused(client, subscription.topic, refusal.problem);
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
    this.#parts.log.warn("denied an MQTT client access to a topic", fields, id);
  }

  #grant({ subscriber }: BrokerClient, subscription: RequestedSubscription, result: SubscribeResult): void {
    const { topic, retainHandling } = subscription;
    const isNew =
      !result.granted.has(topic) && !(subscriber && this.#parts.fanOut.hasFilter(subscriber, topic));
    if (isNew) result.weight += subscriptionWeight(topic);
    result.granted.set(topic, subscription);
    const isWanted = retainHandling === 0 || (retainHandling === 1 && isNew);
    // A shared subscription gets none (section 4.8.2).
    if (isWanted && !parseShared(topic)) result.retained.add(topic);
  }

  /** @returns what is refused for the log, undefined when nothing is */
  #problem(
    { subscriber, identity, clean }: BrokerClient,
    topic: string,
    result: SubscribeResult,
  ): Refusal | undefined {
    const { access, fanOut } = this.#parts;
    if (!subscriber || !identity) return denied(undefined);
    if (!access.maySubscribe(identity, parseShared(topic)?.filter ?? topic)) return denied(identity.user);
    if (result.granted.has(topic) || fanOut.hasFilter(subscriber, topic)) return undefined;
    return this.#beyond({ subscriber, clean }, topic, result);
  }

  #beyond(
    { subscriber, clean }: { readonly subscriber: Subscriber; readonly clean: boolean },
    topic: string,
    result: SubscribeResult,
  ): Refusal | undefined {
    const { fanOut, sessions } = this.#parts;
    const load = fanOut.loadOf(subscriber);
    const more = result.weight + subscriptionWeight(topic);
    if (load.filters + result.granted.size >= mostFilters)
      return full(`more than ${mostFilters} subscriptions`);
    if (load.weight + more > mostWeight) return full("subscriptions that need too much memory");
    const isSmall = load.weight + more <= mostSmallWeight;
    const total = fanOut.weight + sessions.weight + more * (clean ? 1 : 2);
    return total <= mostTotalWeight + (isSmall ? reservedWeight : 0)
      ? undefined
      : full("subscriptions beyond the limit of all clients");
  }
}

interface Refusal {
  /** for the log */
  readonly problem: string;
  /** of MQTT 5 */
  readonly reason: number;
}

/** A client without a name learns no more than that it is refused: it is nobody who could be authorized. */
function denied(user: string | undefined): Refusal {
  return { problem: "subscribe", reason: user === undefined ? reasons.unspecified : reasons.notAuthorized };
}

function full(problem: string): Refusal {
  return { problem, reason: reasons.quotaExceeded };
}

/** What is kept of a subscription. */
function plain({ topic, qos, noLocal, retainAsPublished, identifier }: RequestedSubscription): Subscription {
  return { topic, qos, noLocal, retainAsPublished, identifier };
}

/** Acknowledges a packet of a client that is still connected; `stored` is undefined if there is nothing to wait for. */
function acknowledgeInOrder(
  client: BrokerClient,
  stored: Promise<void> | undefined,
  acknowledge: () => void,
): void {
  const finish = (): void => {
    if (!client.isClosed) acknowledge();
  };
  inOrder(client, stored, { finish });
}

function isShallow(filter: string, mostLevels: number): boolean {
  return filter.length < mostLevels || filter.split("/").length <= mostLevels;
}
