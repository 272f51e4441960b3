import {
  announcedTooLarge,
  BodyError,
  tooLarge,
  wholeBodyOf,
  sendJson,
  type EntryProblem,
} from "#cloud/router/http";
import type { IncomingMessage } from "node:http";
import type { DeliveryQueue } from "#cloud/router/delivery";
import { topicOf, type RestMatch } from "#cloud/router/rules";
import type { NodeSender } from "#cloud/router/senders";
import type { RuleCounters } from "#cloud/router/state";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { RuleTarget } from "#shared/rules";
import type { RuleRequest } from "./accepted.ts";

export type TopicTarget = Extract<RuleTarget, { kind: "eventbus" }>;

export interface BrokerRequestsOptions {
  readonly sender: NodeSender;
  readonly queue: DeliveryQueue;
  readonly counters: RuleCounters;
  readonly clock: Clock;
}

/** Brokers take larger messages, devices do not. */
const largestPayload = 1024 * 1024;
const defaultTimeoutMs = 10_000;
/** Nodes at once: ten thousand are served in turns, with little memory. */
const mostAtOnce = 64;
/** Nodes that an answer names. */
const mostNamed = 100;

/** What became of a message for one node: `sent` is what a node of KubeEdge does not confirm. */
interface Delivered {
  readonly node: string;
  readonly outcome: "confirmed" | "failed" | "queued" | "sent";
  readonly reason?: string;
}

interface Publication {
  readonly node: string;
  readonly topic: string;
}

/** Requests that are published on nodes. The answer says what became of them. */
export class BrokerRequests {
  readonly #options: BrokerRequestsOptions;

  constructor(options: BrokerRequestsOptions) {
    this.#options = options;
  }

  async answer(accepted: RuleRequest, target: TopicTarget): Promise<EntryProblem | undefined> {
    const { match, nodes, request, response, messageId } = accepted;
    const publications: Publication[] = [];
    for (const node of nodes) {
      const topic = topicFor(match, target, node);
      if (topic === undefined) return badTopic;
      publications.push({ node, topic });
    }
    const payload = await readPayload(request, this.#options.clock);
    if ("status" in payload) return payload;
    const delivered = await this.#deliver(accepted, target, { publications, payload });
    const failed = delivered.filter(({ outcome }) => outcome === "failed");
    if (failed.length > 0) return notDelivered(failed, nodes.length);
    const isQueued = delivered.some(({ outcome }) => outcome === "queued");
    const message = isQueued ? "message queued" : "message delivered";
    const shown = { message, rule: match.rule.key, messageId, nodeCount: nodes.length };
    sendJson(response, isQueued ? 202 : 200, { ...shown, nodes: delivered.slice(0, mostNamed) });
    return undefined;
  }

  /** For a dry run. */
  show(match: RestMatch, target: TopicTarget, node: string): object {
    return { publish: topicFor(match, target, node) ?? null };
  }

  async #deliver(
    { match: { rule }, messageId }: RuleRequest,
    target: TopicTarget,
    {
      publications,
      payload,
    }: { readonly publications: readonly Publication[]; readonly payload: Uint8Array },
  ): Promise<Delivered[]> {
    const { counters, queue } = this.#options;
    const timeoutMs = rule.timeoutMs ?? defaultTimeoutMs;
    const delivered = await inTurns(publications, (one) => this.#publish(one, payload, timeoutMs));
    const failed = publications.filter((_, index) => delivered[index]?.outcome === "failed");
    counters.succeeded(rule.key, delivered.length - failed.length);
    if (failed.length === 0) return delivered;
    const waiting = failed.map(({ node, topic }) => ({
      rule: rule.key,
      node,
      origin: "",
      messageId,
      request: { kind: "publish", topic } as const,
      body: payload,
    }));
    if (target.delivery === "durable" && (await queue.add(waiting, { drop: false })))
      return delivered.map((one) => (one.outcome === "failed" ? { node: one.node, outcome: "queued" } : one));
    const reason = delivered.find(({ outcome }) => outcome === "failed")?.reason ?? "";
    counters.failed(rule.key, reason, failed.length);
    return delivered;
  }

  async #publish({ node, topic }: Publication, payload: Uint8Array, timeoutMs: number): Promise<Delivered> {
    try {
      const isConfirmed = await this.#options.sender.publish(node, { topic, payload }, { timeoutMs });
      return { node, outcome: isConfirmed ? "confirmed" : "sent" };
    } catch (error) {
      return { node, outcome: "failed", reason: describeError(error) };
    }
  }
}

function topicFor({ parameters, rest }: RestMatch, target: TopicTarget, node: string): string | undefined {
  return topicOf(target, { ...parameters, node }, rest);
}

const badTopic: EntryProblem = {
  status: 400,
  code: "bad-topic",
  reason: "a part of the path cannot be in a topic: it has a slash or a wildcard, or makes it too long",
};

function notDelivered(failed: readonly Delivered[], count: number): EntryProblem {
  const [{ node, reason } = { node: "", reason: "" }] = failed;
  const text = `${failed.length} of ${count} nodes did not get the message, such as ${JSON.stringify(node)}: ${reason}`;
  return { status: 504, code: "not-delivered", reason: text };
}

async function readPayload(request: IncomingMessage, clock: Clock): Promise<Uint8Array | EntryProblem> {
  if (announcedTooLarge(request, largestPayload)) return tooLarge(largestPayload);
  try {
    return await wholeBodyOf(request, { mostBytes: largestPayload, clock });
  } catch (error) {
    if (error instanceof BodyError) return error.problem;
    return { status: 400, code: "bad-body", reason: "the body ended too early" };
  }
}

async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const take = async (): Promise<void> => {
    while (next < items.length) {
      const index = next;
      next += 1;
      const item = items[index];
      if (item !== undefined) results[index] = await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(mostAtOnce, items.length) }, take));
  return results;
}
