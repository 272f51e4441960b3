import { Counts, type DeliveryQueue, type NewDelivery } from "#cloud/router/delivery";
import type { NodeDirectory } from "#cloud/router/nodes";
import { chosenNodes, topicOf, urlOf, type RuleBook } from "#cloud/router/rules";
import { messageIdHeader, type UrlPoster } from "#cloud/router/senders";
import type { RuleCounters } from "#cloud/router/state";
import { describeError, quote, UnavailableError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { NamedNode, RuleMeaning } from "#shared/rules";
import type { DeviceUpload, TargetRequest } from "#shared/topics";

export interface NodeMessagesOptions {
  readonly book: () => RuleBook;
  readonly nodes: NodeDirectory;
  readonly queue: DeliveryQueue;
  readonly poster: UrlPoster;
  readonly counters: RuleCounters;
  readonly log: Logger;
}

/** As the service bus of KubeEdge waits. */
const defaultTimeoutMs = 60_000;
/** Requests of one node at once, each with a payload and an answer of up to 1 MiB. */
const mostOfNode = 32;
/** Of all nodes: half a GiB. A rule may have as many as it leaves free, so that a slow target does not take all. */
const mostInAll = 256;

/** What nodes send to rules. */
export class NodeMessages {
  readonly #options: NodeMessagesOptions;
  readonly #ofNodes = new Counts();
  readonly #ofRules = new Counts();

  constructor(options: NodeMessagesOptions) {
    this.#options = options;
  }

  /** @returns whether the node may forget it: it is on disk for every rule that wants it, or no rule does */
  async upload(upload: DeviceUpload): Promise<boolean> {
    const { book, queue, counters, log } = this.#options;
    for (const rule of book().ofTopic(this.#nodeOf(upload.node), upload.topic)) {
      const deliveries = this.#deliveriesOf(rule, upload);
      if (deliveries.length === 0) {
        counters.gaveUp(rule.key, "the rule chooses no node that exists");
        continue;
      }
      try {
        const isTaken = await queue.add(deliveries, { drop: true });
        if (!isTaken) counters.gaveUp(rule.key, "the message is larger than the queue of a rule");
      } catch (error) {
        log.error("cannot store a message of a rule", { rule: rule.key, error: describeError(error) });
        return false;
      }
    }
    return true;
  }

  /** Posts the request of a program on a node, and returns what the target answers. @throws UnavailableError */
  async request({ node, id, targetUrl, payload }: TargetRequest): Promise<string> {
    const { book, counters } = this.#options;
    const rule = book().ofUrl(this.#nodeOf(node), targetUrl);
    if (!rule)
      throw new UnavailableError("no-rule", `no rule names ${quote(targetUrl)} for node ${quote(node)}`);
    using _place = this.#enter(node, rule.key);
    try {
      const text = await this.#post(rule, { node, id, payload });
      counters.succeeded(rule.key);
      return text;
    } catch (error) {
      counters.failed(rule.key, describeError(error));
      throw error;
    }
  }

  async #post(
    { target, key, timeoutMs = defaultTimeoutMs }: RuleMeaning,
    { node, id, payload }: Pick<TargetRequest, "id" | "node" | "payload">,
  ): Promise<string> {
    if (target.kind !== "rest") throw new UnavailableError("no-rule", `rule ${quote(key)} leads to no URL`);
    const headers = {
      NodeName: node,
      [messageIdHeader]: id,
      "x-kubeedge-rule": key,
      "content-type": "application/json",
    };
    const url = urlOf(target, { node });
    const { status, text } = await this.#options.poster.post({ url, headers, body: payload, timeoutMs });
    if (status >= 200 && status < 300) return text;
    throw new UnavailableError("refused", `the target answered ${status}: ${text.slice(0, 1000)}`);
  }

  #deliveriesOf(rule: RuleMeaning, { node, id, topic, content, bytes }: DeviceUpload): NewDelivery[] {
    const body = bytes ?? new TextEncoder().encode(content);
    const shared = { rule: rule.key, origin: node, messageId: id, body };
    const { target } = rule;
    if (target.kind === "rest") return [{ ...shared, node, request: { kind: "post", topic } }];
    if (target.kind !== "eventbus" || !target.nodes) return [];
    const published = topicOf(target, { node });
    if (published === undefined) return [];
    const request = { kind: "publish", topic: published } as const;
    return chosenNodes(target.nodes, this.#options.nodes).map((name) => ({ ...shared, node: name, request }));
  }

  #nodeOf(name: string): NamedNode {
    return this.#options.nodes.get(name) ?? { name, labels: {} };
  }

  #enter(node: string, rule: string): Disposable {
    if (this.#ofNodes.of(node) >= mostOfNode) throw tooMany(`node ${quote(node)}`);
    if (this.#ofRules.of(rule) >= mostInAll - this.#ofRules.together) throw tooMany(`rule ${quote(rule)}`);
    const stack = new DisposableStack();
    stack.use(this.#ofNodes.enter(node));
    stack.use(this.#ofRules.enter(rule));
    return stack;
  }
}

function tooMany(whose: string): UnavailableError {
  return new UnavailableError("too-many", `too many requests of ${whose} wait for answers`);
}
