import { AppError, asError, describeError, ProtocolError, UnavailableError } from "#shared/errors";
import { note, withDeadline } from "#shared/lifecycle";
import type { Clock } from "#shared/clock";
import type { Status } from "#shared/kube";
import type { Sender } from "./credentials.ts";
import { KubeError } from "./kube-client.ts";

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query. */
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
}

/** A full page of large objects arrives within this time over a slow link; kubectl and client-go set no limit. */
const requestMs = 30_000;
/** The first one and three retries, about 1.4 s in all: longer outages are left to the caller's back-off. */
const attempts = 4;
/** A server that asks for a longer wait (Retry-After) is not waited for: the caller learns of it at once. */
const longestRetryMs = 5_000;

/**
 * Sends requests with a time limit. Retries, at most three times, only requests that the server did not begin (429), reads
 * while it is busy or unreachable, and, once, requests answered with 401, as credentials may have been rotated.
 */
export class Transport {
  readonly #sender: Sender;
  readonly #clock: Clock;

  constructor(sender: Sender, clock: Clock) {
    this.#sender = sender;
    this.#clock = clock;
  }

  /** @throws KubeError when the server refuses, UnavailableError when it does not answer. */
  async json(request: ApiRequest): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#once(request);
      if (outcome.ok) return outcome.body;
      const waitMs = attempt < attempts ? this.#retryAfterMs(request, outcome, attempt) : undefined;
      if (waitMs === undefined) throw outcome.error;
      await this.#clock.sleep(waitMs, { signal: request.signal });
    }
  }

  /** Opens a watch: the response head within the time limit, its body for as long as `signal` allows. */
  async open(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#exchange({ method: "GET", path, signal }, async (head) => head);
    if (!response.ok) throw toError(response, await response.text());
    if (!response.body)
      throw new ProtocolError("watch-body", "The API server answered a watch request without a body");
    return response.body;
  }

  async #once(request: ApiRequest): Promise<Outcome> {
    try {
      return await this.#exchange(request, async (response) => {
        const text = await response.text();
        note("the response to", `${request.method} ${request.path}`);
        if (response.ok) return { ok: true, body: parseBody(text) };
        return { ok: false, error: toError(response, text), retryAfter: response.headers.get("retry-after") };
      });
    } catch (error) {
      return { ok: false, error: asError(error), retryAfter: null };
    }
  }

  async #exchange<T>(request: ApiRequest, read: (response: Response) => Promise<T>): Promise<T> {
    const what = `${request.method} ${this.#sender.server}${request.path}`;
    const { signal } = request;
    try {
      return await withDeadline(this.#clock, { ms: requestMs, what, signal }, async (deadline) => {
        // The body of a watch outlives the deadline: only the caller's signal ends it.
        const lifetime = request.method === "GET" && signal && isWatch(request.path) ? signal : deadline;
        return read(await this.#sender.send(this.#sender.server + request.path, init(request, lifetime)));
      });
    } catch (error) {
      if (signal?.aborted || error instanceof AppError) throw error;
      throw new UnavailableError("kube-unavailable", `${what}: ${describeError(error)}`, { cause: error });
    }
  }

  #retryAfterMs(request: ApiRequest, { error, retryAfter }: Failure, attempt: number): number | undefined {
    if (request.signal?.aborted) return undefined;
    const nominalMs = 100 * 2 ** attempt * (0.5 + this.#clock.random() / 2);
    const isRead = request.method === "GET";
    if (error instanceof KubeError) {
      if (error.httpStatus === 401 && attempt === 1) {
        this.#sender.forget();
        return 0;
      }
      return isWorthRepeating(error.httpStatus, isRead) ? askedWaitMs(retryAfter, nominalMs) : undefined;
    }
    const isUnreachable = error instanceof UnavailableError && error.code !== "timeout";
    return isRead && isUnreachable ? nominalMs : undefined;
  }
}

const busy: readonly number[] = [500, 502, 503, 504];

/** After 429 the server has done nothing; after a 5xx it may have done part of a write. */
function isWorthRepeating(httpStatus: number, isRead: boolean): boolean {
  return httpStatus === 429 || (isRead && busy.includes(httpStatus));
}

function askedWaitMs(retryAfter: string | null, nominalMs: number): number | undefined {
  const askedMs = Number(retryAfter ?? "0") * 1000;
  if (askedMs > longestRetryMs) return undefined;
  return Math.max(nominalMs, Number.isFinite(askedMs) ? askedMs : 0);
}

interface Failure {
  readonly ok: false;
  readonly error: Error;
  readonly retryAfter: string | null;
}
type Outcome = { readonly ok: true; readonly body: unknown } | Failure;

function isWatch(path: string): boolean {
  return /[?&]watch=true/.test(path);
}

function init(request: ApiRequest, signal: AbortSignal): RequestInit {
  const headers: Record<string, string> = { accept: "application/json" };
  if (request.body === undefined) return { method: request.method, headers, signal };
  headers["content-type"] = request.contentType ?? "application/json";
  return { method: request.method, headers, signal, body: JSON.stringify(request.body) };
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new ProtocolError("kube-body", "The API server answered with a body that is not JSON", {
      cause: error,
    });
  }
}

function toError(response: Response, text: string): KubeError {
  const status = parseStatus(text);
  const reason = status?.reason ?? (response.statusText || "Unknown").replaceAll(" ", "");
  const message = status?.message ?? (text.slice(0, 200) || `HTTP ${response.status}`);
  return new KubeError(response.status, reason, message, status);
}

function parseStatus(text: string): Status | undefined {
  try {
    // All fields of a Status are optional, and it only explains the HTTP status code.
    const parsed = JSON.parse(text) as Status | null;
    return parsed?.kind === "Status" ? parsed : undefined;
  } catch {
    return undefined;
  }
}
