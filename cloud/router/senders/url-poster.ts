import { lookup } from "node:dns/promises";
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Clock } from "#shared/clock";
import { asError, describeError, UnavailableError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";
import { checkedLookup, refuseLocalHost, type Resolve } from "./local-addresses.ts";

export interface Post {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface PostAnswer {
  readonly status: number;
  readonly text: string;
}

export interface UrlPosterOptions {
  /** Whether targets may be on this machine. */
  readonly allowLocal: boolean;
  /** Of the system unless given. */
  readonly resolve?: Resolve;
}

/** KubeEdge's router reads as much of an answer. */
const largestAnswer = 1024 * 1024;
/** Connections of one target that stay for the next messages: most rules have one message under way at a time. */
const keepAlive = { keepAlive: true, maxFreeSockets: 4, timeout: 60_000 } as const;

const resolveAll: Resolve = (name) => lookup(name, { all: true });

/**
 * Posts messages to URLs of rules. A user who may write rules is not one who may use what only this machine reaches: its
 * loopback and link-local addresses (of cloud metadata) are refused unless allowed. Redirects are not followed, for the same
 * reason. Not with `fetch`: that cannot be given the address that was checked, and Bun has 256 of them under way at most, on
 * which the clients of the Kubernetes API depend.
 */
export class UrlPoster implements Disposable {
  readonly #clock: Clock;
  readonly #options: UrlPosterOptions;
  readonly #agents = { "http:": new HttpAgent(keepAlive), "https:": new HttpsAgent(keepAlive) } as const;

  constructor(clock: Clock, options: UrlPosterOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  /** @throws UnavailableError when there is no answer, or the address is refused (code "refused-address") */
  async post({ url, headers, body, timeoutMs, signal }: Post): Promise<PostAnswer> {
    const what = `POST ${url}`;
    return withDeadline(this.#clock, { ms: timeoutMs, what, signal }, async (deadline) => {
      const target = new URL(url);
      if (!this.#options.allowLocal) refuseLocalHost(target.hostname);
      try {
        const response = await this.#send(target, { headers, body, signal: deadline });
        return { status: response.statusCode ?? 0, text: await readText(response) };
      } catch (error) {
        if (deadline.aborted) throw asError(deadline.reason);
        if (error instanceof UnavailableError) throw error;
        throw new UnavailableError("no-answer", `${what}: ${describeError(error)}`, { cause: error });
      }
    });
  }

  /** Ends the connections that are kept. */
  [Symbol.dispose](): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }

  #send(
    target: URL,
    { headers, body, signal }: Pick<Post, "body" | "headers"> & { readonly signal: AbortSignal },
  ): Promise<IncomingMessage> {
    const { allowLocal, resolve = resolveAll } = this.#options;
    const isSecure = target.protocol === "https:";
    const request = (isSecure ? httpsRequest : httpRequest)(target, {
      method: "POST",
      headers: { ...headers, "content-length": String(body.length) },
      agent: this.#agents[isSecure ? "https:" : "http:"],
      signal,
      ...(!allowLocal && { lookup: checkedLookup(resolve) }),
    });
    const { promise, resolve: answered, reject } = Promise.withResolvers<IncomingMessage>();
    request.once("response", answered);
    request.on("error", reject);
    request.end(body);
    return promise;
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Uint8Array>) {
    parts.push(part);
    bytes += part.length;
    // The rest is not read: leaving the loop ends the connection.
    if (bytes >= largestAnswer) break;
  }
  return Buffer.concat(parts).toString("utf8", 0, Math.min(bytes, largestAnswer));
}
