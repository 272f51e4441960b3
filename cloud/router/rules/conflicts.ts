import { TopicTrie } from "#shared/mqtt";
import { mayMeet, shapeOf, type NodeChoice, type RuleMeaning, type RuleProblem } from "#shared/rules";

const fields = { rest: "path", eventbus: "topic", servicebus: "target_url" } as const;

/** A rule that passes messages on from broker to broker. */
interface Relay {
  readonly rule: RuleMeaning;
  readonly filter: string;
  readonly sources: NodeChoice;
  readonly topic: string;
  readonly targets: NodeChoice | undefined;
}

/** Rules that are in effect side by side. */
export class CompatibleRules {
  /** by what they take */
  readonly #takers = new Map<string, RuleMeaning>();
  readonly #relays = new TopicTrie<Relay>();
  readonly #allRelays = new Set<Relay>();

  /**
   * Adds a rule, unless it takes the same messages as one that is there, or its messages would come back to it. The others
   * stay in effect.
   * @returns why it was not added
   */
  add(rule: RuleMeaning): RuleProblem | undefined {
    const taken = takenBy(rule);
    const taker = this.#takers.get(taken.key);
    if (taker) {
      const problem = `is what the older rule ${JSON.stringify(taker.key)} takes`;
      return { field: `spec.sourceResource.${fields[rule.source.kind]}`, value: taken.value, problem };
    }
    const relay = relayOf(rule);
    if (relay) {
      this.#relays.add(relay.filter, relay);
      this.#allRelays.add(relay);
      if (this.#comesBack(relay)) {
        this.#relays.remove(relay.filter, relay);
        this.#allRelays.delete(relay);
        const problem = "would publish messages that come back to this rule, without end";
        return { field: "spec.targetResource.topic", value: relay.topic, problem };
      }
    }
    this.#takers.set(taken.key, rule);
    return undefined;
  }

  /** Whether a message that it publishes may reach it again, over any number of rules. */
  #comesBack(relay: Relay): boolean {
    const seen = new Set<Relay>();
    const waiting = [relay];
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      for (const follower of this.#followersOf(next)) {
        if (seen.has(follower) || (next.targets && !mayMeet(next.targets, follower.sources))) continue;
        if (follower === relay) return true;
        seen.add(follower);
        waiting.push(follower);
      }
    }
    return false;
  }

  #followersOf({ topic }: Relay): Iterable<Relay> {
    if (!topic.includes("{")) return this.#relays.match(topic);
    return [...this.#allRelays].filter(({ filter }) => mayMatch(filter, topic));
  }
}

/** Whether a filter covers a topic for some value of its placeholders. */
function mayMatch(filter: string, topic: string): boolean {
  const levels = topic.split("/");
  const wanted = filter.split("/");
  for (const [index, level] of wanted.entries()) {
    if (level === "#") return true;
    const here = levels[index];
    if (here === undefined) return false;
    if (level !== "+" && !here.includes("{") && level !== here) return false;
  }
  return wanted.length === levels.length;
}

function relayOf(rule: RuleMeaning): Relay | undefined {
  const { source, target } = rule;
  if (source.kind !== "eventbus" || target.kind !== "eventbus") return undefined;
  const { filter, nodes: sources } = source;
  return { rule, filter, sources, topic: target.topic, targets: target.nodes };
}

function takenBy({ source, namespace }: RuleMeaning): { readonly key: string; readonly value: string } {
  if (source.kind === "rest") {
    const shape = shapeOf(source.path);
    return { key: `rest ${namespace}/${shape}`, value: `/${shape}` };
  }
  const value = source.kind === "eventbus" ? source.filter : source.targetUrl;
  return { key: JSON.stringify([source.kind, value, source.nodes.by, textOfChoice(source.nodes)]), value };
}

function textOfChoice(choice: NodeChoice): string {
  if (choice.by === "all") return "";
  return choice.by === "name" ? choice.name : choice.text;
}
