import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";
import type { WireMessage } from "#shared/wire";

const defaultTimeoutMs = 60_000;
const mostWaiting = 4096;

interface Waiter {
  readonly request: WireMessage;
  readonly resolve: (response: WireMessage) => void;
  readonly reject: (error: Error) => void;
}

/** Requests that wait for the response with their id. */
export class Requests {
  readonly #waiting = new Map<string, Waiter>();
  readonly #clock: Clock;
  readonly #send: (message: WireMessage) => boolean;

  constructor(clock: Clock, send: (message: WireMessage) => boolean) {
    this.#clock = clock;
    this.#send = send;
  }

  /** @throws UnavailableError when there is no link, it goes away, or the time is up */
  async ask(
    request: WireMessage,
    options: { readonly timeoutMs?: number | undefined; readonly signal?: AbortSignal | undefined },
  ): Promise<WireMessage> {
    const id = request.header.msg_id;
    const { promise, resolve, reject } = Promise.withResolvers<WireMessage>();
    if (this.#waiting.size >= mostWaiting)
      throw new UnavailableError(
        "too-many-requests",
        `Cannot ask the cloud: ${mostWaiting} requests wait already`,
      );
    this.#waiting.set(id, { request, resolve, reject });
    try {
      if (!this.#send(request))
        throw new UnavailableError(
          "no-link",
          `Cannot ask the cloud for "${request.route.resource}": no link`,
        );
      const ms = options.timeoutMs ?? defaultTimeoutMs;
      const what = `Cloud request ${request.route.operation} "${request.route.resource}"`;
      return await withDeadline(this.#clock, { ms, what, signal: options.signal }, () => promise);
    } finally {
      this.#waiting.delete(id);
    }
  }

  /** Hands a response to whoever waits. @returns the request it answers */
  settle(response: WireMessage): WireMessage | undefined {
    const waiter = this.#waiting.get(response.header.parent_msg_id ?? "");
    waiter?.resolve(response);
    return waiter?.request;
  }

  lost(reason: string): void {
    const error = new UnavailableError("link-lost", `The link to the cloud went away: ${reason}`);
    for (const waiter of this.#waiting.values()) waiter.reject(error);
    this.#waiting.clear();
  }
}
