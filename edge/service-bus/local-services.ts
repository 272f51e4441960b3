import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { ServiceCall, ServiceReply } from "#shared/topics";
import type { AllowedPorts } from "./allowed-ports.ts";
import { countedBody, tooLarge, watchedBody, wholeBody } from "./bodies.ts";
import { ServiceFailure } from "./failure.ts";
import { checkRequest, type CheckedRequest, type UncheckedRequest } from "./request.ts";

/** Bun has 256 HTTP requests of a process under way at most: edgecore keeps the other half for the container engine. */
const mostRequests = 128;
/** In base64 it fits twice into the largest message; KubeEdge's edge has 5 MB. */
const largestReply = 8 * 1024 * 1024;

export interface LocalServicesOptions {
  readonly ports: Pick<AllowedPorts, "allows">;
  /** Time until a server answers, counted from the last piece of the request's body. */
  readonly timeoutMs: number;
  readonly bodyLimitBytes: number;
  readonly clock: Clock;
}

export interface LocalRequest extends UncheckedRequest {
  readonly body: ReadableStream<Uint8Array> | Uint8Array | null;
  /** Aborted by the caller. */
  readonly signal?: AbortSignal;
  /** Less than that of the configuration; anything else has no effect. */
  readonly timeoutMs?: unknown;
}

/** Calls HTTP servers on 127.0.0.1 of this node. */
export class LocalServices {
  readonly #options: LocalServicesOptions;
  #underWay = 0;

  constructor(options: LocalServicesOptions) {
    this.#options = options;
  }

  /** The response of the server as it comes, or that of the node. Rejects only when the caller aborted. */
  async fetch(request: LocalRequest): Promise<Response> {
    try {
      const checked = this.check(request);
      const release = this.#take();
      try {
        const response = await this.#send(checked, request);
        return passedOn(response, release);
      } catch (error) {
        release();
        throw error;
      }
    } catch (error) {
      if (request.signal?.aborted === true) throw error;
      return failureOf(error, request.port).toResponse();
    }
  }

  /** The whole response, for a message. Never rejects. */
  async call({ headers, ...call }: ServiceCall): Promise<ServiceReply> {
    const { clock, timeoutMs } = this.#options;
    const over = new AbortController();
    using _limit = clock.after(timeoutMs, () => over.abort(timedOut(timeoutMs)));
    try {
      const body = call.body.length === 0 ? null : call.body;
      const response = await this.fetch({ ...call, headers, body, signal: over.signal });
      const whole = await wholeBody(response.body, largestReply);
      return { status: response.status, headers: [...response.headers], body: whole };
    } catch (error) {
      const reason: unknown = over.signal.aborted ? over.signal.reason : error;
      return failureOf(reason, call.port).toReply();
    }
  }

  /** @throws ServiceFailure when the request may not be sent */
  check(request: UncheckedRequest): CheckedRequest {
    const checked = checkRequest(request);
    if (!this.#options.ports.allows(checked.port))
      throw new ServiceFailure(
        "port-not-allowed",
        `port ${checked.port} of this node may not be called: no Rule for this node, hostPort of a pod here or service-bus.allowed-ports names it`,
      );
    return checked;
  }

  #take(): () => void {
    if (this.#underWay >= mostRequests)
      throw new ServiceFailure("busy", `${mostRequests} requests to servers on this node are under way`);
    this.#underWay += 1;
    let isTaken = true;
    return () => {
      if (isTaken) this.#underWay -= 1;
      isTaken = false;
    };
  }

  async #send({ url, method, headers }: CheckedRequest, request: LocalRequest): Promise<Response> {
    const { clock, bodyLimitBytes } = this.#options;
    const { signal } = request;
    const timeoutMs = shorter(this.#options.timeoutMs, request.timeoutMs);
    const stop = new AbortController();
    const expire = (): void => stop.abort(timedOut(timeoutMs));
    let timer = clock.after(timeoutMs, expire);
    let isAnswered = false;
    // A server may answer before it has the whole body: from then on it may take its time.
    const renew = (): void => {
      if (isAnswered) return;
      timer[Symbol.dispose]();
      timer = clock.after(timeoutMs, expire);
    };
    const hasBody = request.body !== null && method !== "GET" && method !== "HEAD";
    if (!hasBody) headers.delete("content-length");
    if (Number(headers.get("content-length") ?? 0) > bodyLimitBytes) throw tooLarge(bodyLimitBytes);
    const body =
      hasBody && request.body instanceof ReadableStream
        ? countedBody(request.body, {
            limitBytes: bodyLimitBytes,
            onPiece: renew,
            onTooLarge: (failure) => stop.abort(failure),
          })
        : request.body;
    try {
      return await fetch(url, {
        method,
        headers,
        body: hasBody ? asBody(body) : null,
        signal: signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
        // What is behind a redirect is for the caller to decide, and may be another machine.
        redirect: "manual",
        decompress: false,
      });
    } catch (error) {
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      isAnswered = true;
      timer[Symbol.dispose]();
    }
  }
}

function asBody(body: ReadableStream<Uint8Array> | Uint8Array | null): Bun.BodyInit | null {
  return body instanceof Uint8Array ? Buffer.from(body) : body;
}

const bodyless: readonly number[] = [204, 205, 304];

/** @throws ServiceFailure when the status is none of HTTP */
function passedOn(response: Response, release: () => void): Response {
  const { status, statusText, headers } = response;
  const isKnown = status >= 200 && status <= 599;
  const body = isKnown && !bodyless.includes(status) ? response.body : null;
  if (!body) {
    void response.body?.cancel();
    release();
  }
  if (!isKnown) throw new ServiceFailure("connection-failed", `the server answered with status ${status}`);
  return new Response(body && watchedBody(body, release), { status, statusText, headers });
}

function timedOut(timeoutMs: number): ServiceFailure {
  return new ServiceFailure("timeout", `the server on this node did not answer within ${timeoutMs / 1000} s`);
}

function shorter(mostMs: number, wanted: unknown): number {
  return typeof wanted === "number" && wanted >= 1 && wanted < mostMs ? Math.ceil(wanted) : mostMs;
}

function failureOf(error: unknown, port: unknown): ServiceFailure {
  if (error instanceof ServiceFailure) return error;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ConnectionRefused" || code === "ECONNREFUSED")
    return new ServiceFailure("connection-refused", `nothing listens on port ${String(port)} of this node`);
  return new ServiceFailure(
    "connection-failed",
    `the server on port ${String(port)} of this node failed: ${textOf(error)}`,
  );
}

/** Bun adds the URL, and how to find out more. */
function textOf(error: unknown): string {
  return describeError(error).replace(/ fetching ".*$|\. For more information.*$/s, "");
}
