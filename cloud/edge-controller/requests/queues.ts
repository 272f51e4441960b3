import { jsonBytesOf } from "#cloud/edge-controller/node-authorization";
import { ClosedError, describeError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import type { NodeAnswer, NodeRequest, NodeResource, NodeVerb } from "#shared/topics";
import { failureAnswer, nodeBadRequest, nodeFailure, nodeForbidden } from "./answers.ts";

/**
 * @param receivedMs when the request arrived, milliseconds since 1970: it may have waited for others
 * @throws KubeError or UnavailableError, which become the answer
 */
export type NodeRequestHandler = (request: NodeRequest, receivedMs: number) => Promise<NodeAnswer>;
export type NodeRequestHandlers = readonly (readonly [`${NodeResource} ${NodeVerb}`, NodeRequestHandler])[];

export interface RequestQueuesOptions {
  readonly handlers: NodeRequestHandlers;
  /** Whether the Node of that name is not an edge's. */
  readonly isForeign: (node: string) => boolean;
  readonly clock: Pick<Clock, "nowMs">;
  readonly log: Logger;
}

interface WaitingRequest {
  readonly request: NodeRequest;
  readonly receivedMs: number;
  readonly answered: PromiseWithResolvers<NodeAnswer>;
}

interface RequestQueue {
  readonly waiting: WaitingRequest[];
  /** of the requests that wait */
  bytes: number;
  drained: Promise<void>;
}

/** Several times what an edgecore of ours sends at once when it reconnects, and little memory for each node. */
const waitingPerNode = 512;
const waitingBytesPerNode = 8 * 1024 * 1024;

/**
 * Answers the requests of nodes: those of one node one after another, in order, nodes side by side. A node that floods gets
 * 429 and tries again later. Every request gets an answer.
 */
export class RequestQueues implements AsyncDisposable {
  readonly #options: RequestQueuesOptions;
  readonly #handlers: ReadonlyMap<string, NodeRequestHandler>;
  readonly #queues = new Map<string, RequestQueue>();
  #closed = false;

  constructor(options: RequestQueuesOptions) {
    this.#options = options;
    this.#handlers = new Map(options.handlers);
  }

  /** @throws ClosedError after disposal */
  async answer(request: NodeRequest): Promise<NodeAnswer> {
    if (this.#closed) throw new ClosedError("Cannot answer a node: the edge controller is closed");
    const queue = this.#queues.get(request.node);
    const receivedMs = this.#options.clock.nowMs();
    const waiting: WaitingRequest = { request, receivedMs, answered: Promise.withResolvers() };
    if (!queue) this.#start(waiting);
    else {
      const bytes = jsonBytesOf(request.content);
      if (queue.waiting.length >= waitingPerNode || queue.bytes + bytes > waitingBytesPerNode)
        return failureAnswer(
          nodeFailure(429, "TooManyRequests", "too many requests of this node are waiting"),
        );
      queue.bytes += bytes;
      queue.waiting.push(waiting);
    }
    return waiting.answered.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#queues.values()].map(({ drained }) => drained));
  }

  #start(first: WaitingRequest): void {
    const queue: RequestQueue = { waiting: [], bytes: 0, drained: Promise.resolve() };
    this.#queues.set(first.request.node, queue);
    queue.drained = Promise.resolve().then(() => this.#drain(first, queue));
  }

  async #drain(first: WaitingRequest, queue: RequestQueue): Promise<void> {
    first.answered.resolve(await this.#handle(first));
    for (let next = queue.waiting.shift(); next; next = queue.waiting.shift()) {
      queue.bytes -= jsonBytesOf(next.request.content);
      if (this.#closed) next.answered.reject(new ClosedError("The edge controller is closed"));
      else next.answered.resolve(await this.#handle(next));
    }
    this.#queues.delete(first.request.node);
  }

  async #handle({ request, receivedMs }: WaitingRequest): Promise<NodeAnswer> {
    const { node, resource, verb, namespace, name } = request;
    const { isForeign, log } = this.#options;
    try {
      const handler = this.#handlers.get(`${resource} ${verb}`);
      if (!handler) throw nodeBadRequest(`cannot ${verb} ${resource} "${namespace}/${name}"`);
      if (isForeign(node)) throw nodeForbidden("nodes", node, "the Node of this name is not an edge node");
      return await handler(request, receivedMs);
    } catch (error) {
      const about = `${resource} ${namespace}/${name}`;
      log.debug("a request of a node failed", { node, resource: about, error: describeError(error) });
      return failureAnswer(error);
    }
  }
}
