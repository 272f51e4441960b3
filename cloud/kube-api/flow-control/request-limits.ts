import { Refusal, refusals } from "#cloud/kube-api/status";
import type { InFlight } from "./in-flight.ts";
import type { OpenStream } from "./paced-stream.ts";
import type { StreamPool } from "./stream-pool.ts";

interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

interface Asked {
  readonly request: Request;
  readonly server: ServedBy;
  readonly user: User;
  /** The server's own client, without limits. */
  readonly exempt: boolean;
  readonly verb: string;
}

export interface LimitParts {
  readonly streams: StreamPool;
  readonly inFlight: InFlight;
}

/** The server a request came to. */
export interface ServedBy {
  /** Closes the connection of a request that is idle for so long. */
  timeout(request: Request, seconds: number): void;
}

/** Body size of a chunked request: the largest (request-body.ts). */
const unknownBodyBytes = 3 * 1024 * 1024;
/** A refused body that is larger is not read; the connection is closed instead. */
const unreadBodyBytes = 256 * 1024;

/**
 * Answers a request within the limits of the whole server; it is in flight until its last byte is taken.
 * @throws Refusal (429 with Retry-After) when too many are in flight, or too many bytes wait for slow readers
 */
export async function withinLimits(
  parts: LimitParts,
  asked: Asked,
  answer: (open: OpenStream) => Promise<Response> | Response,
): Promise<Response> {
  const { request, server, user, exempt, verb } = asked;
  const seat = verb === "watch" || exempt ? undefined : takeSeat(parts, asked);
  let streams = false;
  const open: OpenStream = (source, options) => {
    streams = true;
    const ended = (): void => {
      source.ended();
      seat?.[Symbol.dispose]();
    };
    // Nothing closes an unread connection at once; as it takes nothing, it is idle.
    const cut = (): void => server.timeout(request, 1);
    const reader = { user: user.name, exempt, cut };
    const stream = parts.streams.open({ next: () => source.next(), ended }, options, reader);
    if (request.signal.aborted) stream.close();
    else request.signal.addEventListener("abort", () => stream.close(), { once: true });
    return stream;
  };
  try {
    const response = await answer(open);
    // The body of an answer to HEAD is neither read nor ended.
    if (request.method === "HEAD") await response.body?.cancel();
    return response;
  } finally {
    if (!streams) seat?.[Symbol.dispose]();
  }
}

function takeSeat({ inFlight, streams }: LimitParts, { request, user, verb }: Asked): Disposable {
  if (streams.isFullFor(user.name)) throw refusals.overloaded();
  const seat = inFlight.enter({
    user: user.name,
    reserved: user.groups.includes("system:masters"),
    mutating: !reading.has(verb),
    bodyBytes: bodyBytesOf(request),
  });
  if (!seat) throw refusals.overloaded();
  return seat;
}

const reading = new Set(["get", "list", "watch", "head"]);

function bodyBytesOf({ headers, method }: Request): number {
  if (method === "GET" || method === "HEAD") return 0;
  const length = headers.get("content-length");
  if (length !== null) return Number(length);
  return headers.has("transfer-encoding") ? unknownBodyBytes : 0;
}

/** Whether a refusal comes before the body it does not want: what is on its way is not waited for. */
export function closesConnection(request: Request, error: unknown): boolean {
  if (!(error instanceof Refusal)) return false;
  if (error.httpStatus === 504) return true;
  return !request.bodyUsed && bodyBytesOf(request) > unreadBodyBytes;
}
