import type { Outcome, StoredDelivery } from "#cloud/router/delivery";
import { urlOf, type RuleBook } from "#cloud/router/rules";
import { postHeaders, type NodeSender, type UrlPoster } from "#cloud/router/senders";
import { describeError, UnavailableError } from "#shared/errors";
import type { RuleMeaning } from "#shared/rules";

export interface AttemptsOptions {
  readonly book: () => RuleBook;
  readonly sender: NodeSender;
  readonly poster: UrlPoster;
}

const defaultTimeoutMs = 30_000;
/** Of RFC 9110 and 6585, beside 5xx: the server wants the message, later. */
const passing: readonly number[] = [408, 425, 429];

/** One attempt to deliver a message that waited, with the rule as it is now. */
export class Attempts {
  readonly #options: AttemptsOptions;

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  async attempt(delivery: StoredDelivery, signal: AbortSignal): Promise<Outcome> {
    const book = this.#options.book();
    const rule = book.meaning(delivery.rule);
    if (!rule) {
      if (!book.rules.has(delivery.rule)) return { kind: "dead", reason: "the rule was deleted" };
      return { kind: "retry", reason: "the rule is not in effect", offline: true };
    }
    try {
      return await this.#try(rule, delivery, signal);
    } catch (error) {
      return this.#outcomeOf(error, rule, delivery);
    }
  }

  async #try(rule: RuleMeaning, delivery: StoredDelivery, signal: AbortSignal): Promise<Outcome> {
    const { node, request, body } = delivery;
    const { sender } = this.#options;
    const timeoutMs = rule.timeoutMs ?? defaultTimeoutMs;
    switch (request.kind) {
      case "post":
        return this.#post(rule, delivery, signal);
      case "publish": {
        await sender.publish(node, { topic: request.topic, payload: body }, { timeoutMs, signal });
        return { kind: "done" };
      }
      case "call": {
        const { kind: _, ...call } = request;
        const late = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
        const response = await sender.call({ ...call, node, timeoutMs }, body, late);
        await response.body?.cancel();
        return outcomeOfStatus(response.status);
      }
    }
  }

  async #post(rule: RuleMeaning, delivery: StoredDelivery, signal: AbortSignal): Promise<Outcome> {
    const { target, key, timeoutMs = defaultTimeoutMs } = rule;
    const { node, messageId, request, body } = delivery;
    if (target.kind !== "rest" || request.kind !== "post")
      return { kind: "dead", reason: "the rule leads elsewhere now" };
    const headers = postHeaders({ node, topic: request.topic, rule: key, messageId, body });
    const url = urlOf(target, { node });
    const { status } = await this.#options.poster.post({ url, headers, body, timeoutMs, signal });
    return outcomeOfStatus(status);
  }

  #outcomeOf(error: unknown, { source, target }: RuleMeaning, { request }: StoredDelivery): Outcome {
    const reason = describeError(error);
    const code = error instanceof UnavailableError ? error.code : "";
    if (code === "refused-address" || code === "not-text") return { kind: "dead", reason };
    if (request.kind === "post" || code !== "not-connected") return { kind: "retry", reason };
    // Between brokers a rule says whether messages wait for a node that is offline.
    const waits = source.kind === "rest" || (target.kind !== "rest" && target.delivery === "durable");
    return waits ? { kind: "retry", reason, offline: true } : { kind: "dead", reason };
  }
}

function outcomeOfStatus(status: number): Outcome {
  if (status < 300) return { kind: "done" };
  const reason = `the target answered ${status}`;
  return status >= 500 || passing.includes(status) ? { kind: "retry", reason } : { kind: "dead", reason };
}
