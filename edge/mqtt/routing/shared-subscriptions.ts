import { TopicTrie } from "#shared/mqtt";
import type { Subscriber } from "#edge/mqtt/connection";
import { lowerQos, parseShared, type QoS, type Subscription } from "#edge/mqtt/packet";
import { targetOf, type SessionTarget } from "#edge/mqtt/sessions";

interface Member {
  readonly session: string;
  readonly subscription: Subscription;
  /** undefined while its client is away: then its session takes messages of QoS 1 and 2, if nobody else is there */
  subscriber: Subscriber | undefined;
}

interface Group {
  readonly filter: string;
  readonly members: Member[];
  /** index of the member whose turn it is */
  next: number;
}

/** Who gets a message for its group. */
export interface SharedTarget extends SessionTarget {
  /** undefined if its client is away */
  readonly subscriber: Subscriber | undefined;
}

/** Members of a group that are asked whether they can take a message: with all of them away or full, one gets it all the same. */
const mostAsked = 64;
const nobody: readonly SharedTarget[] = [];

/**
 * Shared subscriptions (MQTT 5 section 4.8.2): of each group one member gets a message, in turn; one that is connected and
 * keeps up rather than one that does not, and that rather than one whose client is away.
 */
export class SharedSubscriptions {
  readonly #groups = new Map<string, Group>();
  readonly #trie = new TopicTrie<Group>();

  /** @param topic `$share/GROUP/FILTER` */
  join(session: string, subscription: Subscription, subscriber?: Subscriber): void {
    const { topic } = subscription;
    const filter = parseShared(topic)?.filter;
    if (filter === undefined) return;
    const group = this.#groups.get(topic) ?? { filter, members: [], next: 0 };
    if (group.members.length === 0) this.#trie.add(filter, group);
    this.#groups.set(topic, group);
    const index = group.members.findIndex((member) => member.session === session);
    const member = { session, subscription, subscriber };
    if (index === -1) group.members.push(member);
    else group.members[index] = member;
  }

  leave(session: string, topic: string): void {
    const group = this.#groups.get(topic);
    const index = group?.members.findIndex((member) => member.session === session) ?? -1;
    if (!group || index === -1) return;
    group.members.splice(index, 1);
    if (group.members.length > 0) return;
    this.#groups.delete(topic);
    this.#trie.remove(group.filter, group);
  }

  /** The client of a session that is kept is away. */
  away(session: string, topic: string): void {
    const member = this.#groups.get(topic)?.members.find((each) => each.session === session);
    if (member) member.subscriber = undefined;
  }

  /** One member of each group whose filter covers the topic. */
  choose(topic: string, qos: QoS): readonly SharedTarget[] {
    if (this.#groups.size === 0) return nobody;
    const chosen: SharedTarget[] = [];
    for (const group of this.#trie.match(topic)) {
      const member = pick(group, topic, qos);
      if (member)
        chosen.push({
          ...targetOf(member.subscription),
          client: member.session,
          subscriber: member.subscriber,
        });
    }
    return chosen;
  }
}

function pick(group: Group, topic: string, qos: QoS): Member | undefined {
  const { members } = group;
  let best: { readonly index: number; readonly rank: number } | undefined;
  for (let tries = 0; tries < Math.min(members.length, mostAsked); tries += 1) {
    const index = (group.next + tries) % members.length;
    const member = members[index];
    const rank = member ? rankOf(member, topic, qos) : 0;
    if (rank > (best?.rank ?? 0)) best = { index, rank };
    if (rank === mostRank) break;
  }
  if (!best) return undefined;
  group.next = (best.index + 1) % members.length;
  return members[best.index];
}

const mostRank = 3;

/** 3: can take the message now, 2: is connected, 1: its session can keep it, 0: cannot get it */
function rankOf({ subscriber, subscription }: Member, topic: string, qos: QoS): number {
  if (!subscriber) return lowerQos(qos, subscription.qos) > 0 ? 1 : 0;
  if (!subscriber.isOpen() || !subscriber.mayReceive(topic)) return 0;
  return subscriber.isFree() ? mostRank : 2;
}
