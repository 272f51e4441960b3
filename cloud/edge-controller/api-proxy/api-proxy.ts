import type { Passage } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { describeError, quote } from "#shared/errors";
import { failureResponse } from "#shared/kube";
import { RateLimitedLog, type Logger } from "#shared/log";
import { serveOver, type ByteStream } from "#shared/streams";
import { LimitedBody } from "./limited-body.ts";
import { headersForApi, isForEveryUser, isPlainApiPath, needsUpgrade } from "./request-rules.ts";

export interface ApiProxyOptions {
  /** The way to the API; undefined where requests of others may not be passed on. */
  readonly passage: Passage | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Streams of one node at a time, watches included. */
  readonly mostPerNode?: number;
  /** Streams of all nodes at a time. */
  readonly mostTogether?: number;
  readonly largestBody?: number;
}

/** Half of the streams of a link: the others are left for logs, exec and HTTP to the node. */
const mostPerNode = 128;
/**
 * Bun has 256 HTTP requests of a process under way at most, and further ones wait: with the other half cloudcore watches an
 * existing cluster, and carries out rules.
 */
const mostTogether = 128;
/** As the embedded API's HTTP server takes; kube-apiserver refuses more than 3 MiB by itself. */
const largestBody = 8 * 1024 * 1024;
/** kube-apiserver answers anything but a watch within a minute. */
const headMs = 70_000;
/** Marks an answer that is not of the API: a node may answer from what it has instead. */
export const unavailableHeader = "kubeedge-unavailable";

const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

/**
 * Passes requests of nodes on to the Kubernetes API. It has no rights: each request is made with the bearer token that it
 * carries, or anonymously, and the API alone decides; but OpenAPI documents, which every user of the API may read, are
 * read for the node itself. A request ends when the node's client, the node or the API ends it.
 */
export class ApiProxy {
  readonly #options: ApiProxyOptions;
  readonly #log: RateLimitedLog;
  readonly #open = new Map<string, number>();
  #together = 0;

  constructor(options: ApiProxyOptions) {
    this.#options = options;
    this.#log = new RateLimitedLog(options.log, options.clock);
  }

  /** Streams of a node that are being answered. */
  openOf(node: string): number {
    return this.#open.get(node) ?? 0;
  }

  /** Resolves when the request was answered, or its stream reset. */
  async serve(node: string, stream: ByteStream): Promise<void> {
    const release = this.#take(node);
    try {
      await serveOver(stream, "http://api.invalid", (request) =>
        this.#answer(node, stream, request, release !== undefined),
      );
    } finally {
      release?.();
    }
  }

  /**
   * Takes a place. A node may have as many as it leaves free for the others: one that takes all it gets has half of them.
   * @returns undefined when there is none
   */
  #take(node: string): (() => void) | undefined {
    const { mostPerNode: most = mostPerNode, mostTogether: limit = mostTogether } = this.#options;
    const own = this.openOf(node);
    if (own >= Math.min(most, limit - this.#together)) return undefined;
    this.#count(node, 1);
    return () => this.#count(node, -1);
  }

  async #answer(node: string, { head }: ByteStream, request: Request, hasPlace: boolean): Promise<Response> {
    // `serveOver` has read the head.
    const { path, headers } = head as typeof head & { path: string; headers: [string, string][] };
    const refusal = hasPlace ? this.#refusal(request, path) : this.#busy(node);
    if (refusal) {
      if (request.body) new LimitedBody(request.body, 0).discard();
      return refusal;
    }
    return this.#forward(request, path, headersForApi(headers));
  }

  #busy(node: string): Response {
    const own = this.openOf(node);
    this.#log.warn("too many requests to the API are open", { node, own, together: this.#together }, node);
    const message = `node ${quote(node)} has ${own} requests to the API open, all nodes ${this.#together}: try again later`;
    return failureResponse({ code: 429, reason: "TooManyRequests", message, retryAfterSeconds: 1 });
  }

  #refusal(request: Request, path: string): Response | undefined {
    const { passage, largestBody: limit = largestBody } = this.#options;
    if (!passage) return unavailable("requests of nodes are not passed on to the Kubernetes API here");
    if (!methods.has(request.method))
      return failureResponse({
        code: 405,
        reason: "MethodNotAllowed",
        message: `method ${quote(request.method.slice(0, 20))} is not passed on to the API`,
      });
    if (!isPlainApiPath(path))
      return failureResponse({
        code: 404,
        reason: "NotFound",
        message: `${quote(path.slice(0, 200))} is no path of the API that is passed on`,
      });
    if (needsUpgrade(path))
      return failureResponse({
        code: 501,
        reason: "NotImplemented",
        message: "exec, attach and port-forward are not available through the node",
      });
    return Number(request.headers.get("content-length") ?? "0") > limit ? tooLarge(limit) : undefined;
  }

  async #forward(request: Request, path: string, headers: Headers): Promise<Response> {
    const { passage, clock, largestBody: limit = largestBody } = this.#options;
    if (!passage) return unavailable("there is no API");
    const ended = new AbortController();
    const signal = AbortSignal.any([request.signal, ended.signal]);
    using _late = clock.after(headMs, () => ended.abort());
    const body = request.body && new LimitedBody(request.body, limit);
    try {
      const response = isForEveryUser(request.method, path, headers)
        ? await passage.readAsSelf(path, { headers, signal })
        : await passage.send(path, {
            method: request.method,
            headers,
            body: body?.readable ?? null,
            signal,
          });
      return new Response(response.body, { status: response.status, headers: response.headers });
    } catch (error) {
      if (body?.isTooLarge) return tooLarge(limit);
      if (request.signal.aborted) throw error;
      this.#log.warn("cannot pass a request of a node on to the API", { error: describeError(error) }, "api");
      return unavailable(
        ended.signal.aborted ? "the Kubernetes API does not answer" : "cannot reach the Kubernetes API",
      );
    }
  }

  #count(node: string, change: 1 | -1): void {
    this.#together += change;
    const open = this.openOf(node) + change;
    if (open > 0) this.#open.set(node, open);
    else this.#open.delete(node);
  }
}

function unavailable(message: string): Response {
  const headers = { [unavailableHeader]: "true" };
  return failureResponse({ code: 503, reason: "ServiceUnavailable", message, retryAfterSeconds: 5, headers });
}

function tooLarge(limit: number): Response {
  const message = `Request entity too large: limit is ${limit}`;
  return failureResponse({ code: 413, reason: "RequestEntityTooLarge", message });
}
