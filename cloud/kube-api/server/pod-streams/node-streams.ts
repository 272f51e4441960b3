import { InFlight } from "#cloud/kube-api/flow-control";
import { Refusal, refusals } from "#cloud/kube-api/status";
import type { Clock } from "#shared/clock";
import { AppError, UnavailableError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";
import {
  askPod,
  podStreamHead,
  PodRefusal,
  refusePod,
  type PodProxyRequest,
  type PodStreamRequest,
} from "#shared/pod-streams";
import type { NodeEnd } from "#shared/remote-command";
import { fetchOver, type ByteStream, type RequestHead, type StreamHead } from "#shared/streams";

/** Opens a stream to a node. Rejects UnavailableError when the node is not connected, or has no streams or too many. */
export type OpenNodeStream = (node: string, head: StreamHead) => Promise<ByteStream>;

export interface ProxiedRequest {
  readonly request: PodProxyRequest;
  readonly head: Omit<RequestHead, "service">;
  readonly body: ReadableStream<Uint8Array> | null;
  readonly user: { readonly name: string; readonly groups: readonly string[] };
}

/** A log or a process is prepared within milliseconds; a slow link takes seconds. */
const answerMs = 30_000;
/** Streams to pods at a time, one user half of them; administrators have as many of their own. A link has 256. */
const mostStreams = 512;

/** The way to pods on their nodes, once another module has shown it. */
export class NodeStreams {
  readonly #clock: Clock;
  readonly #seats = new InFlight({ reading: 0, mutating: mostStreams });
  #open: OpenNodeStream | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Streams are opened so, until disposed. */
  use(open: OpenNodeStream): Disposable {
    this.#open = open;
    return {
      [Symbol.dispose]: () => {
        if (this.#open === open) this.#open = undefined;
      },
    };
  }

  /** A place for what a user has open. @throws Refusal (TooManyRequests) when there is none */
  seat(user: { readonly name: string; readonly groups: readonly string[] }): Disposable {
    const reserved = user.groups.includes("system:masters");
    const seat = this.#seats.enter({ user: user.name, reserved, mutating: true, bodyBytes: 0 });
    if (!seat) throw refusals.overloaded();
    return seat;
  }

  /**
   * Sends an HTTP request to a server in a pod. The response is that of the server, or a `Status` of the node.
   * @throws PodRefusal when the node cannot be asked; Refusal (TooManyRequests)
   */
  async fetch(node: string, proxied: ProxiedRequest, signal: AbortSignal): Promise<Response> {
    const { request, head, body, user } = proxied;
    const seat = this.seat(user);
    let ended: Promise<unknown> = Promise.resolve();
    try {
      const stream = await this.#opener()(node, { ...podStreamHead(request), ...head });
      ended = stream.closed;
      return await fetchOver(stream, body, signal);
    } catch (error) {
      if (signal.aborted) throw refusePod.timeout("the client has gone");
      if (error instanceof RangeError)
        throw refusePod.badRequest("the head of the request is longer than 64 KiB");
      if (error instanceof AppError && !(error instanceof PodRefusal))
        throw refusePod.unavailable(error.message);
      throw error;
    } finally {
      void ended.then(() => seat[Symbol.dispose]());
    }
  }

  #opener(): OpenNodeStream {
    if (!this.#open) throw refusePod.unavailable("the nodes cannot be reached yet, try again");
    return this.#open;
  }

  /**
   * Resolves when the node serves the request.
   * @throws PodRefusal with the reason of the node, or why it cannot be asked
   */
  async ask(node: string, request: PodStreamRequest, signal: AbortSignal): Promise<NodeEnd> {
    const open = this.#opener();
    try {
      const what = `asking node "${node}" for a stream`;
      return await withDeadline(this.#clock, { ms: answerMs, what, signal }, async (until) => {
        const stream = await open(node, podStreamHead(request));
        return { stream, fromNode: await askPod(stream, until) };
      });
    } catch (error) {
      if (signal.aborted) throw refusePod.timeout("the client has gone");
      if (error instanceof UnavailableError) throw refusePod.unavailable(error.message);
      if (error instanceof RangeError) throw refusePod.badRequest("the command is too long: at most 64 KiB");
      throw error;
    }
  }
}

/** The answer of the API for a refusal of the node; other errors stay. */
export function asRefusal(error: unknown): unknown {
  return error instanceof PodRefusal ? new Refusal(error.toStatus()) : error;
}
