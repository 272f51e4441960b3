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

const requestMs = 30_000;
const attempts = 4;
const longestRetryMs = 5_000;

/**
 * Sends requests with a time limit. Repeated, at most three times, are only requests that the server says it has not
 * begun (429), reads that found it busy or away, and, once, requests refused for credentials that may have been renewed.
 */
export class Transport {
  readonly #sender: Sender;
  readonly #clock: Clock;

  constructor(sender: Sender, clock: Clock) {
    this.#sender = sender;
    this.#clock = clock;
  }

  /** @throws KubeError for a refusal, UnavailableError for none. */
  async json(request: ApiRequest): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#once(request);
      if (outcome.ok) return outcome.body;
      const waitMs = attempt < attempts ? this.#retryAfterMs(request, outcome, attempt) : undefined;
      if (waitMs === undefined) throw outcome.error;
      await this.#clock.sleep(waitMs, { signal: request.signal });
    }
  }

  /** A watch: the head within the time limit, the body for as long as `signal` allows. */
  async open(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#exchange({ method: "GET", path, signal }, async (answer) => answer);
    if (!response.ok) throw toError(response, await response.text());
    if (!response.body)
      throw new ProtocolError("watch-body", "The API server answered a watch without a body");
    return response.body;
  }

  async #once(request: ApiRequest): Promise<Outcome> {
    try {
      return await this.#exchange(request, async (response) => {
        const text = await response.text();
        note("what was answered to", `${request.method} ${request.path}`);
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
        // A watch outlives the deadline: its body hangs on the caller's signal alone.
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
    const away = error instanceof UnavailableError && error.code !== "timeout";
    return isRead && away ? nominalMs : undefined;
  }
}

const busy: readonly number[] = [500, 502, 503, 504];

/** 429: the server says it has not begun; a busy answer may come from the middle of a write. */
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
    throw new ProtocolError("kube-body", "The API server answered something that is not JSON", {
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
    const parsed = JSON.parse(text) as Partial<Status> | null;
    return parsed?.kind === "Status" ? (parsed as Status) : undefined;
  } catch {
    return undefined;
  }
}
