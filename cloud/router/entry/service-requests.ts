import {
  passOn,
  announcedTooLarge,
  BodyError,
  bodyOf,
  tooLarge,
  wholeBodyOf,
  sendJson,
  type EntryProblem,
} from "#cloud/router/http";
import type { DeliveryQueue } from "#cloud/router/delivery";
import { largestMessageBody, type NodeCall, type NodeSender } from "#cloud/router/senders";
import type { RuleCounters } from "#cloud/router/state";
import type { Clock } from "#shared/clock";
import { asError, describeError, UnavailableError } from "#shared/errors";
import type { RuleTarget } from "#shared/rules";
import type { RuleRequest } from "./accepted.ts";
import { callOf, problemOf } from "./service-call.ts";

export type ServiceTarget = Extract<RuleTarget, { kind: "servicebus" }>;

/** @param renew the time until the response counts from now on */
type Send = (signal: AbortSignal, renew: () => void) => Promise<Response>;

/** A body on its way to a node. */
interface Passing {
  /** why it ended, which is lost on the way through a stream */
  problem?: EntryProblem;
  /** Called when enough of it has passed. */
  renew?: () => void;
}

export interface ServiceRequestsOptions {
  readonly sender: NodeSender;
  readonly queue: DeliveryQueue;
  readonly counters: RuleCounters;
  /** of a body that passes through */
  readonly mostBodyBytes: number;
  readonly clock: Clock;
}

/** A message that may have to wait is kept whole. */
const largestDurable = 1024 * 1024;

/** Requests that are passed to servers on nodes, and their responses. */
export class ServiceRequests {
  readonly #options: ServiceRequestsOptions;

  constructor(options: ServiceRequestsOptions) {
    this.#options = options;
  }

  async answer(accepted: RuleRequest, target: ServiceTarget): Promise<EntryProblem | undefined> {
    const { nodes, request, match } = accepted;
    const [node = "", second] = nodes;
    if (second !== undefined)
      return {
        status: 400,
        code: "several-nodes",
        reason: `the rule chooses ${nodes.length} nodes, and one response is needed: the path has to name a node`,
      };
    const call = callOf({ ...accepted, node, request });
    const isWhole = target.delivery === "durable" || !this.#options.sender.canStream(node);
    const mostBytes = this.#mostBytes(target, node);
    if (announcedTooLarge(request, mostBytes)) return tooLarge(mostBytes);
    if (!isWhole) return this.#stream(accepted, call, mostBytes);
    const { clock } = this.#options;
    try {
      const body = await wholeBodyOf(request, { mostBytes, clock });
      return await this.#send(accepted, call, body);
    } catch (error) {
      if (error instanceof BodyError) return error.problem;
      return this.#failed(match.rule.key, error);
    }
  }

  /** For a dry run. */
  show(parts: Pick<RuleRequest, "match" | "path" | "request"> & { readonly node: string }): object {
    const { method, port, path } = callOf({ ...parts, messageId: "" });
    return { call: `${method} http://127.0.0.1:${port}${path}` };
  }

  #mostBytes({ delivery }: ServiceTarget, node: string): number {
    if (delivery === "durable") return largestDurable;
    const { sender, mostBodyBytes } = this.#options;
    const isOfKubeEdge = sender.isConnected(node) && !sender.canStream(node);
    return isOfKubeEdge ? Math.min(mostBodyBytes, largestMessageBody) : mostBodyBytes;
  }

  /** Bodies pass through in both directions as they come. */
  async #stream(
    { match, request, response }: RuleRequest,
    call: NodeCall,
    mostBytes: number,
  ): Promise<EntryProblem | undefined> {
    const { sender, clock } = this.#options;
    const body = bodyOf(request, { mostBytes, clock });
    const passing: Passing = {};
    const watched = body && watchedBody(body, passing);
    try {
      return await this.#exchange({ call, response, match }, (signal, renew) => {
        passing.renew = renew;
        return sender.stream(call, watched, signal);
      });
    } catch (error) {
      void watched?.cancel().catch(() => undefined);
      return passing.problem ?? this.#failed(match.rule.key, error);
    }
  }

  async #send(accepted: RuleRequest, call: NodeCall, body: Uint8Array): Promise<EntryProblem | undefined> {
    const { match, response, messageId } = accepted;
    const { rule } = match;
    const { sender, queue } = this.#options;
    try {
      return await this.#exchange({ call, response, match }, (signal) => sender.call(call, body, signal));
    } catch (error) {
      const isDurable = rule.target.kind === "servicebus" && rule.target.delivery === "durable";
      if (!isDurable || response.headersSent) return this.#failed(rule.key, error);
      const { node, port, method, path, headers } = call;
      const request = { kind: "call", port, method, path, headers } as const;
      const waiting = [{ rule: rule.key, node, origin: "", messageId, request, body }];
      if (!(await queue.add(waiting, { drop: false })))
        return { status: 503, code: "queue-full", reason: "too many messages of the rule wait already" };
      const reason = describeError(error);
      sendJson(response, 202, { message: "message queued", rule: rule.key, messageId, node, reason });
      return undefined;
    }
  }

  /** @throws what `send` rejects with, before anything was answered */
  async #exchange(
    { call, response, match }: { readonly call: NodeCall } & Pick<RuleRequest, "match" | "response">,
    send: Send,
  ): Promise<undefined> {
    const { clock, counters } = this.#options;
    const aborted = new AbortController();
    const onClose = (): void => aborted.abort(new UnavailableError("client-gone", "the client disconnected"));
    response.once("close", onClose);
    try {
      const answer = await this.#withinTime(call, aborted, send);
      const isWhole = await passOn(answer, response, clock);
      if (isWhole) counters.succeeded(match.rule.key);
      else counters.failed(match.rule.key, "the response was cut");
      if (!isWhole) aborted.abort(new Error("the response was cut"));
    } catch (error) {
      if (!response.headersSent) throw error;
      counters.failed(match.rule.key, describeError(error));
      response.destroy();
    } finally {
      response.off("close", onClose);
    }
    return undefined;
  }

  async #withinTime({ timeoutMs }: NodeCall, aborted: AbortController, send: Send): Promise<Response> {
    const { clock } = this.#options;
    const late = new UnavailableError("timeout", `no response within ${timeoutMs / 1000} s`);
    let isOver = false;
    let timer: Disposable | undefined;
    const renew = (): void => {
      timer?.[Symbol.dispose]();
      if (!isOver) timer = clock.after(timeoutMs, () => aborted.abort(late));
    };
    renew();
    try {
      return await send(aborted.signal, renew);
    } catch (error) {
      throw aborted.signal.aborted ? asError(aborted.signal.reason) : error;
    } finally {
      isOver = true;
      timer?.[Symbol.dispose]();
    }
  }

  #failed(rule: string, error: unknown): EntryProblem {
    const reason = describeError(error);
    this.#options.counters.failed(rule, reason);
    return problemOf(error, reason);
  }
}

/** A slow link may need minutes for a body: the time for the response counts from the last so many bytes on. */
const renewingBytes = 4096;

function watchedBody(body: ReadableStream<Uint8Array>, passing: Passing): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let bytes = 0;
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          bytes += value?.length ?? 0;
          if (done || bytes >= renewingBytes) {
            bytes = 0;
            passing.renew?.();
          }
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          if (error instanceof BodyError) passing.problem = error.problem;
          throw error;
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
