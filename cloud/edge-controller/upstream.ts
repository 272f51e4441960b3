import { randomUUID } from "node:crypto";
import { bytesOf } from "#cloud/edge-controller/node-authorization";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { NodeMessage } from "#shared/topics";
import { parseResource, responseTo, sources, type ResourcePath } from "#shared/wire";
import { answerFailure, badRequest, forbidden, refusal, type Answer, type AnswerForm } from "./answers.ts";
import type { EdgeControllerPort } from "./index.ts";

/** One question of a node. */
export interface Question {
  readonly node: string;
  readonly at: ResourcePath;
  readonly operation: string;
  readonly content: unknown;
}

export interface Handler {
  readonly form: AnswerForm;
  readonly answer: (question: Question) => Promise<Answer>;
}

/** By `<type> <operation>`. */
export type Handlers = ReadonlyMap<string, Handler>;

export interface UpstreamOptions {
  readonly port: EdgeControllerPort;
  readonly handlers: Handlers;
  /** Whether the Node of that name is not an edge's. */
  readonly isForeign: (node: string) => boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Queue {
  readonly waiting: NodeMessage[];
  /** of the messages that wait */
  bytes: number;
  drained: Promise<void>;
}

const waitingPerNode = 512;
const waitingBytesPerNode = 8 * 1024 * 1024;

/**
 * What nodes ask: a node's questions are answered one after another, in order, nodes side by side. One that floods is
 * told to come back later. Every question gets an answer.
 */
export class Upstream implements AsyncDisposable {
  readonly #options: UpstreamOptions;
  readonly #queues = new Map<string, Queue>();
  #closed = false;

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  receive(message: NodeMessage): void {
    if (this.#closed || !wantsAnswer(message)) return;
    const queue = this.#queues.get(message.node);
    if (!queue) return this.#start(message);
    const bytes = bytesOf(message.message.content);
    if (queue.waiting.length >= waitingPerNode || queue.bytes + bytes > waitingBytesPerNode)
      return void this.#reply(message, this.#tooMany(message));
    queue.bytes += bytes;
    queue.waiting.push(message);
  }

  #start(message: NodeMessage): void {
    const queue: Queue = { waiting: [], bytes: 0, drained: Promise.resolve() };
    this.#queues.set(message.node, queue);
    queue.drained = Promise.resolve().then(() => this.#drain(message, queue));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#queues.values()].map(({ drained }) => drained));
  }

  async #drain(first: NodeMessage, queue: Queue): Promise<void> {
    await this.#reply(first, await this.#answer(first));
    for (let next = queue.waiting.shift(); next && !this.#closed; next = queue.waiting.shift()) {
      queue.bytes -= bytesOf(next.message.content);
      await this.#reply(next, await this.#answer(next));
    }
    this.#queues.delete(first.node);
  }

  async #answer(message: NodeMessage): Promise<Answer> {
    const { route } = message.message;
    const at = pathOf(message);
    const handler = at && this.#handlerOf(message);
    if (!at || !handler) {
      const what = `cannot ${route.operation ?? ""} ${JSON.stringify(route.resource ?? "")}`;
      return answerFailure("raw", badRequest(`${what}: the cloud does not know this`));
    }
    if (!isSegment(at.namespace) || (at.name !== "" && !isSegment(at.name)))
      return answerFailure(
        handler.form,
        badRequest(`${JSON.stringify(route.resource)} does not name an object`),
      );
    const { node } = message;
    if (this.#options.isForeign(node))
      return answerFailure(
        handler.form,
        forbidden("nodes", node, "the Node of this name is not an edge node"),
      );
    const question = { node, at, operation: route.operation ?? "", content: message.message.content };
    try {
      return await handler.answer(question);
    } catch (error) {
      const fields = { node, resource: route.resource, error: describeError(error) };
      this.#options.log.debug("a node's request failed", fields);
      return answerFailure(handler.form, error);
    }
  }

  #handlerOf(message: NodeMessage): Handler | undefined {
    return this.#options.handlers.get(
      `${pathOf(message)?.type ?? ""} ${message.message.route.operation ?? ""}`,
    );
  }

  #tooMany(message: NodeMessage): Answer {
    const error = refusal(429, "TooManyRequests", "too many requests of this node are waiting");
    return answerFailure(this.#handlerOf(message)?.form ?? "raw", error);
  }

  async #reply({ node, message }: NodeMessage, { content, resourceVersion }: Answer): Promise<void> {
    const { port, clock, log } = this.#options;
    const stamp = { id: () => randomUUID(), nowMs: () => clock.nowMs() };
    const route = { source: sources.edgeController, group: "resource", resourceVersion };
    const answer = responseTo(stamp, message, content, route);
    try {
      await port.ask("node.send", { node, message: answer });
    } catch (error) {
      log.debug("cannot answer a node", { node, error: describeError(error) });
    }
  }
}

/** Acknowledgements end a conversation, and what devices publish is not for the API. */
function wantsAnswer({ message: { route } }: NodeMessage): boolean {
  return route.operation !== "response" && route.operation !== "error" && route.group !== "user";
}

/** What stands in a URL of the API as one part of its path; dots alone would lead elsewhere. */
function isSegment(text: string): boolean {
  return text.length <= 253 && !/^\.{1,2}$|[/%\s]/.test(text);
}

function pathOf({ node, message }: NodeMessage): ResourcePath | undefined {
  const text = message.route.resource ?? "";
  const prefix = `node/${node}/`;
  return parseResource(text.startsWith(prefix) ? text.slice(prefix.length) : text);
}
